// SPDX-License-Identifier: Apache-2.0

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Log } from '../model/log.ts';
import { removeCgroup } from './cgroup.ts';
import { closeSandbox, namespacePrefix, type Sandbox } from './sandbox.ts';

/**
 * Removes what runs that died left on this node: sandboxes by the form of their names, cgroups by their place.
 *
 * `keep` are the sandboxes that are still served. Returns how many things were removed.
 */
export async function sweepSandboxes(
  node: string,
  podsCgroup: string,
  keep: readonly Sandbox[],
  log: Log,
): Promise<number> {
  const kept = new Set(keep.flatMap((sandbox) => [sandbox.namespaceName, sandbox.cgroup]));
  const prefix = namespacePrefix(node);
  const names = await readdir('/run/netns').catch(() => []);
  let removed = 0;
  for (const name of names) {
    const hash = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    // The exact form: node `a` must not sweep the pods of a node called `a-b`.
    if (!/^[0-9a-f]{10}$/.test(hash) || kept.has(name)) continue;
    log.info('leftover namespace removed', { name });
    await closeSandbox({
      namespaceName: name,
      linkName: `gw${hash}`,
      netnsPath: '',
      cgroup: join(podsCgroup, name),
      addresses: [],
      hostname: '',
    });
    removed++;
  }
  const entries = await readdir(podsCgroup, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const cgroup = join(podsCgroup, entry.name);
    if (!entry.isDirectory() || kept.has(cgroup)) continue;
    log.info('leftover cgroup removed', { cgroup });
    await removeCgroup(cgroup);
    removed++;
  }
  return removed;
}
