// SPDX-License-Identifier: Apache-2.0

/** One cell of the table, as `--json` writes it. */
export interface Cell {
  readonly row: string;
  readonly column: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median, least and most of the rounds of one cell. */
export function summarize(row: string, column: string, unit: string, rounds: readonly number[]): Cell {
  const sorted = [...rounds].sort((x, y) => x - y);
  const at = (index: number) => sorted[Math.min(sorted.length - 1, Math.max(0, index))] ?? Number.NaN;
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { row, column, unit, median, min: at(0), max: at(sorted.length - 1) };
}

/** Three significant digits: more would be noise. */
export function formatFigure(value: number): string {
  if (Number.isNaN(value)) return '-';
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A Markdown table, rows and columns in the order in which they first appear; `median (min..max)` a cell. */
export function formatTable(cells: readonly Cell[]): string {
  const rows = [...new Set(cells.map((cell) => cell.row))];
  const columns = [...new Set(cells.map((cell) => cell.column))];
  const unit = (column: string) => cells.find((cell) => cell.column === column)?.unit ?? '';
  const text = (row: string, column: string) => {
    const cell = cells.find((candidate) => candidate.row === row && candidate.column === column);
    return cell === undefined
      ? ''
      : `${formatFigure(cell.median)} (${formatFigure(cell.min)}..${formatFigure(cell.max)})`;
  };
  const lines = [
    ['', ...columns.map((column) => `${column}, ${unit(column)}`)],
    ['---', ...columns.map(() => '---')],
  ];
  for (const row of rows) lines.push([row, ...columns.map((column) => text(row, column))]);
  const widths = lines[0]?.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length))) ?? [];
  return lines
    .map(
      (line) =>
        `| ${line.map((cell, index) => (cell === '---' ? '-'.repeat(widths[index] ?? 3) : cell.padEnd(widths[index] ?? 0))).join(' | ')} |`,
    )
    .join('\n');
}
