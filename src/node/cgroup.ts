// SPDX-License-Identifier: Apache-2.0

import { mkdir, readdir, readFile, rmdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { namingAsync, SettingError, type SettingUse } from '../config/setting-error.ts';
import { mountsOf } from '../host/mounts.ts';

// linux/magic.h CGROUP2_SUPER_MAGIC
const CGROUP2_MAGIC = 0x63677270;
// A killed process leaves its cgroup once the kernel has torn it down; 2 s covers one with gigabytes to unmap.
const EMPTY_POLLS = 200;
const EMPTY_POLL_MS = 10;

/** Finds where cgroup v2 is mounted; it may stand beside v1 (`/sys/fs/cgroup/unified`). */
export function findCgroupRoot(): string {
  const [first] = mountsOf('cgroup2');
  if (first !== undefined) return first;
  throw new Error(
    'no cgroup v2 hierarchy is mounted here; mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) or name it with --cgroup-root',
  );
}

/** Throws `SettingError` unless the directory that a setting names is in a cgroup v2 hierarchy: elsewhere mkdir makes no cgroup. */
export async function requireCgroup(flag: string, directory: string): Promise<string> {
  const use: SettingUse = {
    flag,
    value: directory,
    tried: 'used',
    hint: 'name a directory of cgroup v2: `grep cgroup2 /proc/mounts` says where it is',
  };
  const { type } = await namingAsync(use, () => statfs(directory));
  if (type !== CGROUP2_MAGIC) throw new SettingError(use, new Error('it is no cgroup v2'));
  return directory;
}

/** The cgroup v2 of this process, as a path below the hierarchy's root. */
export async function ownCgroup(): Promise<string> {
  const lines = (await readFile('/proc/self/cgroup', 'utf8')).split('\n');
  return lines.find((line) => line.startsWith('0::'))?.slice(3) ?? '/';
}

/** Moves a process into a cgroup, which is made when it is missing. */
export async function joinCgroup(directory: string, pid: number): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'cgroup.procs'), String(pid));
}

/** Ends every process in a cgroup and below, at once, and removes the cgroup. One that is not there is fine. */
export async function removeCgroup(directory: string): Promise<void> {
  try {
    await writeFile(join(directory, 'cgroup.kill'), '1');
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
  for (let left = EMPTY_POLLS; ; left -= 1) {
    try {
      await removeTree(directory);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || left === 0) throw error;
      await sleep(EMPTY_POLL_MS);
    }
  }
}

/** Removes a cgroup if nothing is in it. */
export async function removeEmptyCgroup(directory: string): Promise<void> {
  await rmdir(directory).catch(() => {});
}

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  }
  await rmdir(directory).catch((error: unknown) => {
    if (!isGone(error)) throw error;
  });
}

/** Not there, or removed between being opened and being used. */
function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENODEV';
}
