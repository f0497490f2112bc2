// SPDX-License-Identifier: Apache-2.0

import { readdirSync, readFileSync } from 'node:fs';

/** What a set of processes has used. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Sum of each process's own peak. */
  readonly peakResidentBytes: number;
}

// USER_HZ: fixed at 100 in the kernel's user interface on the two architectures that are supported.
const TICKS_PER_SECOND = 100;

function statusBytes(status: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status);
  return match === null ? 0 : Number(match[1]) * 1024;
}

/** The process and all that descend from it, at this moment. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const fields = readFileSync(`/proc/${entry}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      parents.set(Number(entry), Number(fields[1]));
    } catch {
      // It ended between the listing and the read.
    }
  }
  const tree = [root];
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child);
  return tree;
}

/** CPU and memory of process trees; a process that has ended counts nothing. */
export function usage(roots: readonly number[]): Usage {
  let cpuSeconds = 0;
  let residentBytes = 0;
  let peakResidentBytes = 0;
  for (const pid of roots.flatMap(processTree)) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      cpuSeconds += (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
      residentBytes += statusBytes(status, 'VmRSS');
      peakResidentBytes += statusBytes(status, 'VmHWM');
    } catch {
      // It ended meanwhile.
    }
  }
  return { cpuSeconds, residentBytes, peakResidentBytes };
}
