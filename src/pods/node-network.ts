// SPDX-License-Identifier: Apache-2.0

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Log } from '../model/log.ts';

/** What a node must do so that its pods reach each other and the rest. */
const FORWARDING = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'] as const;

/**
 * Turns on forwarding and remembers, in the file `memory`, what was off before.
 *
 * Where it may not be written, as in a container, it is reported and left: the node's owner has to see to it.
 */
export async function openForwarding(memory: string, log: Log): Promise<void> {
  const changed: string[] = [];
  for (const path of FORWARDING) {
    const value = await readFile(path, 'utf8').catch(() => undefined);
    if (value?.trim() !== '0') continue;
    try {
      await writeFile(path, '1');
      changed.push(path);
    } catch (error) {
      log.warn('forwarding is off and cannot be turned on, pods reach nothing beyond the node', {
        path,
        error: String(error),
      });
    }
  }
  if (changed.length === 0) return;
  await mkdir(dirname(memory), { recursive: true, mode: 0o700 });
  await writeFile(memory, changed.join('\n'), { mode: 0o600 });
}

/** Turns off again what `openForwarding`, of this run or one that died, turned on. */
export async function closeForwarding(memory: string): Promise<void> {
  const text = await readFile(memory, 'utf8').catch(() => '');
  for (const path of text.split('\n')) {
    if (FORWARDING.some((known) => known === path)) await writeFile(path, '0');
  }
  await rm(memory, { force: true });
}
