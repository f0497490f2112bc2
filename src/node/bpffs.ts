// SPDX-License-Identifier: Apache-2.0

import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { readdir, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { makeNamedDirectory } from '../config/paths.ts';
import { naming, SettingError } from '../config/setting-error.ts';
import { runProgram } from '../host/program.ts';

// linux/magic.h BPF_FS_MAGIC
const BPF_FS_MAGIC = 0xcafe4a11;
const MOUNT = ['mount', '-t', 'bpf', '-o', 'mode=0700', 'bpf'] as const;

// Of two agents that start together one mounts, and the other looks again: a second file system on top would hide the
// pins of the first. The lock is the directory's below, which both have opened.
const MOUNT_ONCE = `test "$(stat -f -c %t "$0")" = ${BPF_FS_MAGIC.toString(16)} || ${MOUNT.join(' ')} "$0"`;

/** Mounts a BPF file system on a directory that is none yet and in which nothing is; throws `SettingError`. */
export async function mountBpffs(directory: string): Promise<void> {
  if (!(await isBpffs(directory))) await mount(directory, ['flock', directory, 'sh', '-c', MOUNT_ONCE]);
}

/**
 * Does what an agent does to have a BPF file system there, and undoes it; throws what an agent would end with.
 *
 * Returns how it would come by it.
 */
export async function tryBpffs(directory: string): Promise<string> {
  const missing: string[] = [];
  for (let path = directory; !existsSync(path); path = dirname(path)) missing.push(path);
  try {
    makeNamedDirectory('bpffs', directory, directory);
    if (await isBpffs(directory)) {
      tryDirectory(directory);
      return `mounted at ${directory}`;
    }
    // In a mount namespace that ends with the program.
    await mount(directory, ['unshare', '--mount', '--', ...MOUNT]);
    return missing.length === 0
      ? `an agent mounts it at ${directory}`
      : `${directory} is not there; an agent makes it and mounts it there`;
  } finally {
    for (const path of missing) if (existsSync(path)) rmdirSync(path);
  }
}

async function isBpffs(directory: string): Promise<boolean> {
  return (await statfs(directory)).type === BPF_FS_MAGIC;
}

async function mount(directory: string, [program, ...args]: readonly [string, ...string[]]): Promise<void> {
  const hint = 'mount a BPF file system yourself (mount -t bpf bpf DIR) and name it';
  try {
    // What is in it could not be reached any more, by nobody on this machine.
    const entries = await readdir(directory);
    if (entries.length > 0) throw new Error('it is no BPF file system, and not empty');
    await runProgram(program, [...args, directory]);
  } catch (cause) {
    throw new SettingError({ flag: 'bpffs', value: directory, tried: 'mounted', hint }, cause);
  }
}

function tryDirectory(directory: string): void {
  const trial = join(directory, `groundwire-doctor-${process.pid}`);
  naming({ flag: 'bpffs', value: directory, tried: 'written to', hint: 'name one that can be written to' }, () => {
    mkdirSync(trial);
    rmdirSync(trial);
  });
}
