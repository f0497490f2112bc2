// SPDX-License-Identifier: Apache-2.0

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';

// Programs of iproute2 answer in milliseconds; one that does not is stuck and must not hold up the other pods.
const PROGRAM_TIMEOUT_MS = 10_000;

/** A program that failed, with what it said. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Runs a program with arguments and returns what it printed; throws `ProgramError` with its own words when it fails. */
export async function runProgram(program: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { timeout: PROGRAM_TIMEOUT_MS, maxBuffer: 1 << 20 },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const missing = error.code === 'ENOENT' ? `${program} is not installed` : stderr.trim() || error.message;
        reject(new ProgramError(`${program} ${args.join(' ')}: ${missing}`, { cause: error }));
      },
    );
    child.stdin?.on('error', () => {}); // A program that ended early says why on its own.
    child.stdin?.end(input ?? '');
  });
}

/** A process as something to watch: a pid alone can be reused, a pid and its start time cannot. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

/** The process with that pid now, or `undefined` when there is none. */
export async function findProcess(pid: number): Promise<ProcessId | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTicks: Number(fields[19]) };
}

export async function isAlive(process: ProcessId): Promise<boolean> {
  return (await findProcess(process.pid))?.startTicks === process.startTicks;
}
