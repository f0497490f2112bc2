// SPDX-License-Identifier: Apache-2.0

// A file that names the process which serves a node; it counts for as long as that process lives.
//
// The name appears with its content or not at all. The lock of a dead holder is replaced by whoever holds a second lock,
// named after that holder: so nobody replaces the lock of a holder that it has not looked at. That second one is taken
// in the same way, and so is free again when its holder dies.

import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';

import { findProcess, isAlive, type ProcessId } from './process.ts';

/** The node is served already. */
export class NodeBusy extends Error {
  override readonly name = 'NodeBusy';
}

// What no process can be: the holder of a lock whose content is none.
const NOBODY: ProcessId = { pid: 0, startTicks: 0 };

let claims = 0;

/** Takes the lock for this process; throws `NodeBusy` when a process that lives has it. */
export async function takeNodeLock(path: string, node: string): Promise<void> {
  claims += 1;
  const claim = `${path}.claim-${process.pid}-${claims}`;
  await writeFile(claim, JSON.stringify(await findProcess(process.pid)), { mode: 0o600 });
  try {
    await takeWith(claim, path, node);
  } finally {
    await rm(claim, { force: true });
  }
}

async function takeWith(claim: string, path: string, node: string): Promise<void> {
  while (!(await linkNew(claim, path))) {
    const dead = await readHolder(path);
    if (dead === undefined) continue; // Given back meanwhile.
    if (await isAlive(dead)) throw busy(node, path, dead);
    const successor = `${path}.after-${dead.pid}-${dead.startTicks}`;
    await takeWith(claim, successor, node);
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
  try {
    const { pid, startTicks } = JSON.parse(await readFile(path, 'utf8')) as Partial<ProcessId>;
    return { pid: Number(pid), startTicks: Number(startTicks) };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : NOBODY;
  }
}

function busy(node: string, path: string, { pid }: ProcessId): NodeBusy {
  return new NodeBusy(
    `node ${node} is served by another agent already, process ${pid} (${path}); stop that one, or give this one another --node`,
  );
}
