// SPDX-License-Identifier: Apache-2.0

// The sandboxes that a container runtime makes, found through /proc: whatever the runtime, a process of a pod is in a
// cgroup that has the pod's uid in its path (cgroupfs: `/kubepods/burstable/pod<uid>/…`, systemd:
// `…/kubepods-burstable-pod<uid with _>.slice/…`), on v1 and v2 alike.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere } from '../host/if-there.ts';
import { findProcess, type ProcessId } from '../host/process-id.ts';
import { parseAddress } from '../model/address.ts';

/** A process that holds a pod's network namespace for as long as the pod has one: the first that the runtime started. */
export interface RuntimeSandbox {
  readonly holder: ProcessId;
  readonly netnsPath: string;
}

const UID = /pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})(?:\.slice)?(?:\/|$)/;
// What a process may be ended in the midst of.
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);

/**
 * One look at every process: the sandbox of each pod by the pod's uid.
 *
 * Costs a read of /proc/PID/cgroup for each process of the machine. Throws when /proc cannot be read as a whole.
 */
export async function findRuntimeSandboxes(proc = '/proc'): Promise<ReadonlyMap<string, RuntimeSandbox>> {
  const found = new Map<string, ProcessId>();
  for (const name of await readdir(proc)) {
    if (!/^\d+$/.test(name)) continue;
    const uid = await podUidOf(join(proc, name));
    const process = uid === undefined ? undefined : await findProcess(Number(name), proc);
    if (uid === undefined || process === undefined) continue;
    const before = found.get(uid);
    if (before === undefined || process.startTicks < before.startTicks) found.set(uid, process);
  }
  return new Map(
    [...found].map(([uid, holder]) => [uid, { holder, netnsPath: join(proc, String(holder.pid), 'ns/net') }]),
  );
}

async function podUidOf(processDirectory: string): Promise<string | undefined> {
  const cgroups = await readProcess(join(processDirectory, 'cgroup'));
  for (const line of cgroups.split('\n')) {
    const [, uid] = UID.exec(line) ?? [];
    if (uid !== undefined) return uid.replaceAll('_', '-');
  }
  return undefined;
}

/**
 * Whether the network namespace of that process has each of these addresses.
 *
 * An identity is bound to a pod only after this: a uid in a cgroup's path is a name, an address that the namespace owns
 * is what its traffic comes from.
 */
export async function ownsAddresses(pid: number, addresses: readonly string[], proc = '/proc'): Promise<boolean> {
  const [v4, v6] = await Promise.all(
    ['net/fib_trie', 'net/if_inet6'].map((file) => readProcess(join(proc, String(pid), file))),
  );
  const own = new Set([...localV4(v4 ?? ''), ...localV6(v6 ?? '')]);
  return addresses.every((address) => own.has(parseAddress(address) ?? address));
}

function localV4(fibTrie: string): string[] {
  return Array.from(fibTrie.matchAll(/\|-- (\S+)\n\s+\/32 host LOCAL/g), ([, address = '']) => address);
}

function localV6(ifInet6: string): string[] {
  return Array.from(ifInet6.matchAll(/^([0-9a-f]{32}) /gm), ([, hex = '']) => {
    const groups = hex.match(/.{4}/g) ?? [];
    return parseAddress(groups.join(':')) ?? '';
  });
}

async function readProcess(path: string): Promise<string> {
  try {
    return (await readIfThere(path)) ?? '';
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
