// SPDX-License-Identifier: Apache-2.0

import { readFile } from 'node:fs/promises';

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
