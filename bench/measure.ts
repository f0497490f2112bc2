// SPDX-License-Identifier: Apache-2.0

import { usage } from './processes.ts';

/** One path through the machine that is measured. */
export interface Path {
  readonly row: string;
  /** Runs a command where the client is and returns what it printed. */
  readonly inClient: (command: readonly string[]) => Promise<string>;
  /** Where the client dials; the echoing port is one above. */
  readonly address: string;
  readonly port: number;
  /** Processes that are the proxies of this path; empty for raw TCP. */
  readonly proxies: readonly number[];
}

export interface Effort {
  readonly seconds: number;
  readonly rate: number;
  readonly threads: number;
}

export const COLUMNS = {
  'throughput, 1 stream': 'Gbit/s',
  'throughput, 16 streams': 'Gbit/s',
  'latency p50': 'µs',
  'latency p99': 'µs',
  'new connections': '1/s',
  'proxy CPU': 's/GB',
  'peak memory': 'MiB',
} as const;
export type Column = keyof typeof COLUMNS;

async function load(program: string, path: Path, mode: string, echo: boolean, ...args: number[]) {
  const port = path.port + (echo ? 1 : 0);
  const command = [program, mode, path.address, String(port), ...args.map(String)];
  const output = await path.inClient(command);
  return JSON.parse(output) as Record<string, number>;
}

function field(result: Record<string, number>, name: string): number {
  const value = result[name];
  if (value === undefined) throw new Error(`the load generator did not say ${name}`);
  return value;
}

/** One round of every column on one path. */
export async function measurePath(program: string, path: Path, effort: Effort): Promise<Map<Column, number>> {
  const { seconds, rate, threads } = effort;
  const figures = new Map<Column, number>();
  const before = usage(path.proxies);
  const one = await load(program, path, 'throughput', false, 1, seconds);
  const after = usage(path.proxies);
  figures.set('throughput, 1 stream', field(one, 'gbitPerSecond'));
  const sixteen = await load(program, path, 'throughput', false, 16, seconds);
  figures.set('throughput, 16 streams', field(sixteen, 'gbitPerSecond'));
  const latency = await load(program, path, 'latency', true, rate, seconds);
  figures.set('latency p50', field(latency, 'p50'));
  figures.set('latency p99', field(latency, 'p99'));
  const connects = await load(program, path, 'connects', true, threads, seconds);
  figures.set('new connections', field(connects, 'connectsPerSecond'));
  if (path.proxies.length > 0) {
    figures.set('proxy CPU', (after.cpuSeconds - before.cpuSeconds) / (field(one, 'bytes') / 1e9));
    figures.set('peak memory', usage(path.proxies).peakResidentBytes / 1024 / 1024);
  }
  return figures;
}
