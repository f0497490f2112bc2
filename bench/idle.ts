// SPDX-License-Identifier: Apache-2.0

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { ROWS } from './goals.ts';
import { usage } from './processes.ts';
import { type Cell, summarize } from './results.ts';

/** A path whose agents are to hold many connections that say nothing. */
export interface IdlePlace {
  /** The command line that runs a command as a pod of the client's node. */
  readonly asPod: (command: readonly string[]) => [string, ...string[]];
  readonly address: string;
  readonly port: number;
  /** The agents that hold the connections, one at each end; the one that grows more counts. */
  readonly agents: readonly number[];
}

interface IdleAnswer {
  readonly open: number;
  readonly failed: number;
  readonly answered: number;
}

// Sockets are set up and buffers shrink within moments; the engine's own idle shrinking is timed in seconds.
const SETTLE_MS = 5_000;
const OPEN_TIMEOUT_MS = 180_000;

/** Opens `count` connections, lets them rest, reads the agent's memory, and tries every one of them again. */
export async function measureIdle(program: string, place: IdlePlace, count: number): Promise<Cell[]> {
  const resident = () => place.agents.map((agent) => usage([agent]).residentBytes);
  const before = resident();
  const [command, ...args] = place.asPod([program, 'idle', place.address, String(place.port), String(count)]);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const deadline = setTimeout(() => child.kill('SIGKILL'), OPEN_TIMEOUT_MS);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<IdleAnswer> => {
    const line = await lines.next();
    if (line.done === true) throw new Error('the load generator ended before its connections were counted');
    return JSON.parse(line.value) as IdleAnswer;
  };
  try {
    const opened = await next();
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const held = Math.max(...resident().map((bytes, index) => bytes - (before[index] ?? 0)));
    child.stdin.write('again\n');
    const again = await next();
    const cell = (column: string, unit: string, value: number) => summarize(ROWS.idle, column, unit, [value]);
    return [
      cell('opened', 'connections', opened.open),
      cell('memory a connection', 'KiB', held / 1024 / Math.max(1, opened.open)),
      cell('answering', 'connections', again.answered),
    ];
  } finally {
    clearTimeout(deadline);
    child.stdin.end();
    child.kill('SIGTERM');
  }
}
