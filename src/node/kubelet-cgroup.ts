// SPDX-License-Identifier: Apache-2.0

import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

const NAME = 'kubelet';

/**
 * The cgroup v2 of this node's kubelet, below the hierarchy's root: a kubelet that shares our network namespace.
 *
 * `undefined`: there is none, or it has no cgroup of its own, and then nobody can be told from it.
 */
export async function findKubeletCgroup(proc = '/proc'): Promise<string | undefined> {
  const own = await readlink(join(proc, 'self/ns/net'));
  for (const pid of await readdir(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if ((await readFile(join(proc, pid, 'comm'), 'utf8')).trim() !== NAME) continue;
      if ((await readlink(join(proc, pid, 'ns/net'))) !== own) continue;
      const cgroup = /^0::(\/\S*)$/m.exec(await readFile(join(proc, pid, 'cgroup'), 'utf8'))?.[1] ?? '/';
      if (cgroup !== '/') return cgroup;
    } catch {
      // It has ended meanwhile, or is not ours to look at.
    }
  }
  return undefined;
}
