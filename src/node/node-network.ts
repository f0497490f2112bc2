// SPDX-License-Identifier: Apache-2.0

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { naming, namingAsync } from '../config/setting-error.ts';
import { writeFileAtomically } from '../host/atomic-file.ts';
import { listIfThere, readIfThere } from '../host/if-there.ts';
import { isMissing } from '../model/file-error.ts';
import type { Log } from '../model/log.ts';

const IPV4_FORWARDING = 'ipv4/ip_forward';
const IPV6_FORWARDING = 'ipv6/conf/all/forwarding';
const IPV6_INTERFACES = 'ipv6/conf';
// No interfaces, or none that a router is heard on; one that comes later is not listened on either way.
const NOT_LISTENING = new Set(['all', 'default', 'lo']);

/** One change of a sysctl: made where it says `from`, and undone to that. */
interface Change {
  readonly path: string;
  readonly from: string;
  readonly to: string;
  readonly warning: string;
}

/** All that could be changed on this node. */
interface Changes {
  readonly hearing: readonly Change[];
  readonly ipv4: Change;
  readonly ipv6: Change;
}

/**
 * The node's forwarding, without which its pods reach neither each other nor the rest: turned on for them, and off again
 * where it was off before.
 *
 * A node that forwards IPv6 drops the routes that routers advertise, often its default route, unless it is told to hear
 * them all the same (`accept_ra` 2); so that is told first.
 *
 * What is changed is remembered before, in memory and in a file: by memory this run undoes it whatever the disk says, by
 * the file the next run undoes it for one that was killed.
 */
export class Forwarding {
  readonly #memory: string;
  readonly #log: Log;
  readonly #sysctls: string;
  /** In the order in which they were made. */
  readonly #made = new Set<Change>();
  #isRecalled = false;

  /** `memory`: the file. */
  constructor(memory: string, log: Log, sysctls = '/proc/sys/net') {
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
    const { hearing, ipv4, ipv6 } = await this.recall();
    const due: Change[] = [];
    for (const change of (await isDue(ipv6)) ? [...hearing, ipv4, ipv6] : [ipv4]) {
      if (await isDue(change)) due.push(change);
    }
    if (due.length === 0) return;
    this.#remember([...this.#made, ...due]);
    for (const change of due) {
      try {
        await writeFile(change.path, change.to);
        this.#made.add(change);
      } catch (error) {
        this.#made.delete(change);
        this.#log.warn(change.warning, { path: change.path, error: String(error) });
      }
    }
    // What stayed as it was is not ours to undo later.
    if (due.some((change) => !this.#made.has(change))) this.#remember([...this.#made]);
  }

  /**
   * Learns what a run that died has changed, and changes nothing: all that an agent does which needs no forwarding.
   *
   * Throws `SettingError` when that cannot be read: it would never be undone.
   */
  async recall(): Promise<Changes> {
    const [ipv4, ipv6] = [this.#forwarding(IPV4_FORWARDING), this.#forwarding(IPV6_FORWARDING)];
    const hearing = await this.#hearing();
    const hint = 'see what is in the way, and start the agent again; forwarding stays as it is until then';
    const memory = await namingAsync({ flag: 'run-dir', value: this.#memory, tried: 'read', hint }, () =>
      readIfThere(this.#memory),
    );
    const remembered = new Set(memory?.split('\n'));
    for (const change of [...hearing, ipv4, ipv6]) if (remembered.has(change.path)) this.#made.add(change);
    this.#isRecalled = true;
    return { hearing, ipv4, ipv6 };
  }

  /** Undoes what was changed, by this run or by one that died. */
  async close(): Promise<void> {
    // What this run could not learn stays for the next one.
    if (!this.#isRecalled) return;
    for (const { path, from } of [...this.#made].toReversed()) {
      // An interface may have gone, and its sysctls with it.
      await writeFile(path, from, { flag: 'r+' }).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    }
    await rm(this.#memory, { force: true });
  }

  #forwarding(name: string): Change {
    const warning = 'forwarding is off and cannot be turned on, pods reach nothing beyond the node';
    return { path: join(this.#sysctls, name), from: '0', to: '1', warning };
  }

  async #hearing(): Promise<readonly Change[]> {
    const directory = join(this.#sysctls, IPV6_INTERFACES);
    const interfaces = await listIfThere(directory);
    const warning =
      'a node that forwards drops the IPv6 routes that routers advertise, and that cannot be changed here';
    return interfaces
      .filter((name) => !NOT_LISTENING.has(name))
      .map((name) => ({ path: join(directory, name, 'accept_ra'), from: '1', to: '2', warning }));
  }

  #remember(changes: readonly Change[]): void {
    const hint = 'name a directory that can be written to';
    const paths = changes.map(({ path }) => path);
    naming({ flag: 'run-dir', value: this.#memory, tried: 'written', hint }, () =>
      writeFileAtomically(this.#memory, [...new Set(paths)].join('\n'), 0o600),
    );
  }
}

async function isDue({ path, from }: Change): Promise<boolean> {
  const value = await readIfThere(path);
  return value?.trim() === from;
}
