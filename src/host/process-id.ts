// SPDX-License-Identifier: Apache-2.0

import { readFile } from 'node:fs/promises';

import { isMissing } from '../model/file-error.ts';

/** A process as something to watch: a pid alone can be reused, a pid and its start time cannot. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

/**
 * The process with that pid now, or `undefined` when there is none.
 *
 * Throws when that cannot be seen (EMFILE, ENOMEM): who took that for an end would end the pods of those who live.
 */
export async function findProcess(pid: number, proc = '/proc'): Promise<ProcessId | undefined> {
  const stat = await readStat(`${proc}/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTicks: Number(fields[19]) };
}

/** Throws as `findProcess` does. */
export async function isAlive(process: ProcessId): Promise<boolean> {
  return (await findProcess(process.pid))?.startTicks === process.startTicks;
}

async function readStat(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    // The process may end between the two steps of a read; the second says so in its own way.
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
    throw error;
  }
}
