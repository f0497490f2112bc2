// SPDX-License-Identifier: Apache-2.0

// A file that names the process which has something for itself; it counts for as long as that process lives.
//
// The name appears with its content or not at all. The lock of a dead holder is replaced by whoever holds a second lock,
// named after that holder: so nobody replaces the lock of a holder that it has not looked at. That second one is taken
// in the same way, and so is free again when its holder dies.

import { link, rename, rm, writeFile } from 'node:fs/promises';

import { readIfThere } from './if-there.ts';
import { findProcess, isAlive, type ProcessId } from './process-id.ts';

/** A process that lives has the lock; the message says who, and what to do. */
export class LockHeld extends Error {
  override readonly name = 'LockHeld';
}

/** Who has a lock, or had it to its end. */
export interface LockHolder {
  /** 0 where the lock does not say. */
  readonly pid: number;
  readonly alive: boolean;
}

// What no process can be: the holder of a lock whose content is none.
const NOBODY: ProcessId = { pid: 0, startTicks: 0 };

let claims = 0;

/**
 * Takes the lock for this process; throws `LockHeld`, worded by `refusal`, when a process that lives has it, and what the
 * system said when that cannot be seen.
 */
export async function takeLock(path: string, refusal: (holder: number) => string): Promise<void> {
  claims += 1;
  const claim = `${path}.claim-${process.pid}-${claims}`;
  try {
    await writeFile(claim, JSON.stringify(await findProcess(process.pid)), { mode: 0o600 });
    await takeWith(claim, path, refusal);
  } finally {
    await rm(claim, { force: true });
  }
}

/** `undefined` where nobody has taken the lock, or its holder has given it back. */
export async function findHolder(path: string): Promise<LockHolder | undefined> {
  const holder = await readHolder(path);
  return holder && { pid: holder.pid, alive: await isAlive(holder) };
}

async function takeWith(claim: string, path: string, refusal: (holder: number) => string): Promise<void> {
  while (!(await linkNew(claim, path))) {
    const dead = await readHolder(path);
    if (dead === undefined) continue; // Given back meanwhile.
    if (await isAlive(dead)) throw new LockHeld(refusal(dead.pid));
    const successor = `${path}.after-${dead.pid}-${dead.startTicks}`;
    await takeWith(claim, successor, refusal);
    try {
      const holder = await readHolder(path);
      if (holder?.pid !== dead.pid || holder.startTicks !== dead.startTicks) continue;
      await link(claim, `${claim}.new`);
      await rename(`${claim}.new`, path);
      return;
    } finally {
      await rm(successor, { force: true });
    }
  }
}

async function linkNew(claim: string, path: string): Promise<boolean> {
  try {
    await link(claim, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function readHolder(path: string): Promise<ProcessId | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const { pid, startTicks } = JSON.parse(text) as Partial<ProcessId>;
    return { pid: Number(pid), startTicks: Number(startTicks) };
  } catch {
    return NOBODY;
  }
}
