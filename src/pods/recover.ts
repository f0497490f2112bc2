// SPDX-License-Identifier: Apache-2.0

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive } from '../host/process-id.ts';
import type { Log } from '../model/log.ts';
import { removeCgroup } from '../node/cgroup.ts';
import type { PodRecord } from './pod.ts';
import type { PodFiles } from './pod-files.ts';
import { closeSandbox, namespacePrefix, type Sandbox, type SandboxHost } from './sandbox.ts';

/**
 * Looks at what a previous run left on this node: returns the pods whose holders live, and removes everything else.
 *
 * To be called before the engine is opened: it takes away the pins of namespaces that are gone. Throws, before anything
 * is removed, when the files of the pods or one of their holders cannot be seen.
 */
export async function recoverPods(
  host: Pick<SandboxHost, 'node' | 'podsCgroup'>,
  files: PodFiles,
  log: Log,
): Promise<readonly PodRecord[]> {
  const records = await files.readAll();
  const isHeld = await Promise.all(records.map(({ holder }) => isAlive(holder)));
  const alive = records.filter((_, index) => isHeld[index]);
  for (const record of records.filter((_, index) => !isHeld[index])) {
    log.info('pod of a previous run removed', { pod: `${record.spec.namespace}/${record.spec.name}` });
    await closeSandbox(record.sandbox, log);
    await files.remove(record.uid);
  }
  await sweepSandboxes(
    host,
    alive.map((record) => record.sandbox),
    log,
  );
  return alive;
}

/** Removes sandboxes that no file tells of: namespaces by the form of their names, cgroups by their place. */
async function sweepSandboxes(
  { node, podsCgroup }: Pick<SandboxHost, 'node' | 'podsCgroup'>,
  keep: readonly Sandbox[],
  log: Log,
): Promise<void> {
  const kept = new Set(keep.flatMap((sandbox) => [sandbox.namespaceName, sandbox.cgroup]));
  const prefix = namespacePrefix(node);
  for (const name of await readdir('/run/netns').catch(() => [])) {
    const hash = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    // The exact form: node `a` must not sweep the pods of a node called `a-b`.
    if (!/^[0-9a-f]{10}$/.test(hash) || kept.has(name)) continue;
    log.info('leftover namespace removed', { name });
    const cgroup = join(podsCgroup, name);
    await closeSandbox(
      { namespaceName: name, linkName: `gw${hash}`, netnsPath: '', cgroup, addresses: [], hostname: '' },
      log,
    );
  }
  for (const entry of await readdir(podsCgroup, { withFileTypes: true }).catch(() => [])) {
    const cgroup = join(podsCgroup, entry.name);
    if (!entry.isDirectory() || kept.has(cgroup)) continue;
    log.info('leftover cgroup removed', { cgroup });
    await removeCgroup(cgroup);
  }
}
