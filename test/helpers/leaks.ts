// SPDX-License-Identifier: Apache-2.0

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { mountsOf } from '#src/host/mounts.ts';

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Everything on this machine, outside of processes, that a run of ours may have made and should have removed. */
export function listOurs(): string[] {
  const named = (directory: string) => entries(directory).filter((name) => name.startsWith('gw'));
  return [
    ...named('/run/netns').map((name) => `network namespace ${name}`),
    ...named('/etc/netns').map((name) => `directory /etc/netns/${name}`),
    ...named('/sys/class/net').map((name) => `link ${name}`),
    ...entries('/run/groundwire').map((name) => `directory /run/groundwire/${name}`),
    ...mountsOf('cgroup2').flatMap((mount) =>
      entries(join(mount, 'groundwire')).flatMap((name) =>
        // Limits and statistics of the cgroup itself are files with a dot in their names.
        name.includes('.') ? [] : [`cgroup ${join(mount, 'groundwire', name)}`],
      ),
    ),
    ...mountsOf('bpf').flatMap((mount) =>
      entries(join(mount, 'groundwire')).map((name) => `pin ${join(mount, 'groundwire', name)}`),
    ),
  ];
}

/** What is there now and was not there before. */
export function newSince(before: readonly string[]): string[] {
  const known = new Set(before);
  return listOurs().filter((thing) => !known.has(thing));
}
