// SPDX-License-Identifier: Apache-2.0

import { readFile, rm, writeFile } from 'node:fs/promises';

import { naming } from '../config/setting-error.ts';
import { writeFileAtomically } from '../identity/secret-file.ts';
import type { Log } from '../model/log.ts';

/** What a node must do so that its pods reach each other and the rest. */
const FORWARDING = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'] as const;

/**
 * The node's forwarding: turned on for the pods, and off again where it was off before.
 *
 * What was off is remembered before it is changed, in memory and in a file: by memory this run undoes it whatever the
 * disk says, by the file the next run undoes it for one that was killed.
 */
export class Forwarding {
  readonly #memory: string;
  readonly #log: Log;
  readonly #sysctls: readonly string[];
  readonly #turnedOn = new Set<string>();

  /** `memory`: the file. */
  constructor(memory: string, log: Log, sysctls: readonly string[] = FORWARDING) {
    this.#memory = memory;
    this.#log = log;
    this.#sysctls = sysctls;
  }

  /**
   * Turns on what is off. Throws `SettingError`, with nothing changed, when that could not be remembered.
   *
   * Where it may not be written, as in a container, it is reported and left: the node's owner has to see to it.
   */
  async open(): Promise<void> {
    const text = await readFile(this.#memory, 'utf8').catch(() => '');
    for (const path of text.split('\n')) if (this.#sysctls.includes(path)) this.#turnedOn.add(path);
    const off: string[] = [];
    for (const path of this.#sysctls) {
      const value = await readFile(path, 'utf8').catch(() => undefined);
      if (value?.trim() === '0') off.push(path);
    }
    if (off.length === 0) return;
    this.#remember([...this.#turnedOn, ...off]);
    for (const path of off) {
      try {
        await writeFile(path, '1');
        this.#turnedOn.add(path);
      } catch (error) {
        this.#turnedOn.delete(path);
        this.#log.warn('forwarding is off and cannot be turned on, pods reach nothing beyond the node', {
          path,
          error: String(error),
        });
      }
    }
    // What stayed off is not ours to turn off later.
    if (off.some((path) => !this.#turnedOn.has(path))) this.#remember([...this.#turnedOn]);
  }

  /** Turns off again what was turned on, by this run or by one that died. */
  async close(): Promise<void> {
    for (const path of this.#turnedOn) await writeFile(path, '0');
    await rm(this.#memory, { force: true });
  }

  #remember(paths: readonly string[]): void {
    const hint = 'name a directory that can be written to';
    naming({ flag: 'run-dir', value: this.#memory, tried: 'written', hint }, () =>
      writeFileAtomically(this.#memory, [...new Set(paths)].join('\n'), 0o600),
    );
  }
}
