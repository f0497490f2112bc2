// SPDX-License-Identifier: Apache-2.0

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function mounts(type: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => (line.includes(` - ${type} `) ? [line.split(' ')[4] ?? ''] : []));
}

/** Everything on this machine, outside of processes, that a run of ours may have made and should have removed. */
export function listOurs(): string[] {
  const named = (directory: string) => entries(directory).filter((name) => name.startsWith('gw'));
  return [
    ...named('/run/netns').map((name) => `network namespace ${name}`),
    ...named('/etc/netns').map((name) => `directory /etc/netns/${name}`),
    ...named('/sys/class/net').map((name) => `link ${name}`),
    ...entries('/run/groundwire').map((name) => `directory /run/groundwire/${name}`),
    ...mounts('cgroup2').flatMap((mount) =>
      entries(join(mount, 'groundwire')).flatMap((name) =>
        // Limits and statistics of the cgroup itself are files with a dot in their names.
        name.includes('.') ? [] : [`cgroup ${join(mount, 'groundwire', name)}`],
      ),
    ),
    ...mounts('bpf').flatMap((mount) =>
      entries(join(mount, 'groundwire')).map((name) => `pin ${join(mount, 'groundwire', name)}`),
    ),
  ];
}

/** What is there now and was not there before. */
export function newSince(before: readonly string[]): string[] {
  const known = new Set(before);
  return listOurs().filter((thing) => !known.has(thing));
}
