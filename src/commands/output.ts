// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';

export type OutputFormat = Config<'output'>['output']['format'];

/** A column of a table: its head, and what a row shows under it. */
export interface Column<T> {
  readonly head: string;
  readonly cell: (row: T) => string | number;
}

/** The answer in the form that was asked for; `table` renders it for people. */
export async function formatAnswer(format: OutputFormat, answer: unknown, table: () => string): Promise<string> {
  switch (format) {
    case 'json':
      return JSON.stringify(answer, undefined, 2);
    case 'yaml': {
      const { stringify } = await import('yaml');
      return stringify(answer).trimEnd();
    }
    case 'table':
      return table();
  }
}

/** Rows in aligned columns; `empty` stands for a table without rows. */
export function renderTable<T>(rows: readonly T[], columns: readonly Column<T>[], empty: string): string {
  if (rows.length === 0) return empty;
  const cells = [
    columns.map((column) => column.head),
    ...rows.map((row) => columns.map((column) => String(column.cell(row)) || '-')),
  ];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => (line[i] ?? '').length)));
  return cells
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `1.2 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `3m12s`, the two greatest units. */
function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0s';
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join('');
}

/** Time since, or until, an RFC 3339 time. */
export function formatAge(time: string, nowMs: number): string {
  return formatDuration(Math.abs(nowMs - Date.parse(time)));
}
