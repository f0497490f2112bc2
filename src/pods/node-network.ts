// SPDX-License-Identifier: Apache-2.0

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What a node must do so that its pods reach each other and the rest. */
const FORWARDING = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'] as const;

/** Turns on forwarding and remembers, in `memory`, what was off before; what cannot be written is left as it is. */
export async function openForwarding(memory: string): Promise<void> {
  const changed: string[] = [];
  for (const path of FORWARDING) {
    const value = await readFile(path, 'utf8').catch(() => undefined);
    if (value?.trim() !== '0') continue;
    await writeFile(path, '1');
    changed.push(path);
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
