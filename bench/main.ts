// SPDX-License-Identifier: Apache-2.0
//
// npm run bench [-- --json FILE] [--quick] [--peers-only | --footprint-only | --change-only]
//
// Every row on the same two nodes of this machine, in interleaved rounds, so that what else the machine does hits all
// rows alike. Prints the machine, a Markdown table of medians, and the ratios that the project wants to keep.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { claimMachine } from '../src/harness/claim.ts';
import { measureChange } from './change.ts';
import { measureFootprint } from './footprint.ts';
import { CHANGE_ROWS, formatGoals, ROWS } from './goals.ts';
import { measureIdle } from './idle.ts';
import { buildLoad } from './load.ts';
import { COLUMNS, type Column, measurePath } from './measure.ts';
import { openMeshPaths } from './mesh-paths.ts';
import { openPeerPaths } from './peer-paths.ts';
import { type Cell, formatTable, summarize } from './results.ts';

const DIRECTORY = '/run/groundwire-bench';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
    'peers-only': { type: 'boolean', default: false },
    'footprint-only': { type: 'boolean', default: false },
    'change-only': { type: 'boolean', default: false },
  },
});

const rounds = flags.quick ? 1 : 5;
const effort = { seconds: flags.quick ? 1 : 3, rate: 1500, threads: 16 };

function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()} ${arch()}, ${new Date().toISOString().slice(0, 10)}`;
}

async function bench(): Promise<Cell[]> {
  if (flags['footprint-only']) return footprint();
  if (flags['change-only']) return change();
  const program = await buildLoad();
  rmSync(DIRECTORY, { recursive: true, force: true });
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  const closers: (() => Promise<void>)[] = [];
  try {
    progress('starting the peers');
    const peers = await openPeerPaths(program, DIRECTORY, closers);
    const paths = [...peers];
    const mesh = flags['peers-only'] ? undefined : await openMeshPaths(program, closers);
    if (mesh !== undefined) paths.splice(1, 0, ...mesh.paths);

    const figures = new Map<string, Map<Column, number[]>>(paths.map((path) => [path.row, new Map()]));
    for (let round = 1; round <= rounds; round += 1) {
      for (const path of paths) {
        progress(`round ${round} of ${rounds}: ${path.row}`);
        for (const [column, figure] of await measurePath(program, path, effort)) {
          const columns = figures.get(path.row);
          columns?.set(column, [...(columns.get(column) ?? []), figure]);
        }
      }
    }
    const cells = [...figures].flatMap(([row, columns]) =>
      [...columns].map(([column, values]) => summarize(row, column, COLUMNS[column], values)),
    );
    if (mesh !== undefined) {
      progress(ROWS.idle);
      cells.push(...(await measureIdle(program, mesh.idle, flags.quick ? 2_000 : 10_000)));
    }
    if (mesh !== undefined) {
      for (const close of closers.splice(0).toReversed()) await close();
      cells.push(...(await footprint()), ...(await change()));
    }
    return cells;
  } finally {
    for (const close of closers.toReversed()) await close();
    rmSync(DIRECTORY, { recursive: true, force: true });
  }
}

/** By itself: what a program takes of memory and time to start is not to be measured while others are loaded. */
async function footprint(): Promise<Cell[]> {
  const directory = `${DIRECTORY}-footprint`;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    return await measureFootprint(directory, rounds, progress);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** By itself, too: it is the time of one thread. */
function change(): Promise<Cell[]> {
  progress('one change of the mesh');
  return measureChange(flags.quick ? 50 : 200);
}

/** Tables by the columns that their rows have. */
const TABLES: readonly (readonly string[])[] = [
  [ROWS.raw, ROWS.acrossNodes, ROWS.sameNode, ROWS.haproxy, ROWS.nginx],
  [ROWS.idle],
  [ROWS.waitingAgent, ROWS.waitingNginx, ROWS.waitingEnvoy],
  Object.values(CHANGE_ROWS),
];

const claim = await claimMachine('bench');
try {
  const cells = await bench();
  process.stdout.write(`${describeMachine()}; median (min..max) of ${rounds} interleaved round(s)\n\n`);
  for (const rows of TABLES) {
    const measured = cells.filter((cell) => rows.includes(cell.row));
    if (measured.length > 0) process.stdout.write(`${formatTable(measured)}\n\n`);
  }
  process.stdout.write(`${formatGoals(cells).join('\n')}\n`);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(cells, undefined, 2)}\n`);
} finally {
  claim.release();
}
