// SPDX-License-Identifier: Apache-2.0

import type { Log } from '../model/log.ts';
import type { WrittenChange } from '../objects/object-store.ts';

// Enough to recognise a change by; all of a large one would fill the log.
const NAMES_MAX = 5;

/** Tells what of the manifests is in force at the start, and then, one line a change, what was accepted. */
export class ChangeLog {
  /** Objects that were put in force: new ones, and new versions. */
  readonly counters = { accepted: 0, removed: 0 };
  readonly #log: Log;
  #isFirst = true;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * What came, went or says something else since the last time. Objects that are kept out by a running pod, or have been
   * until now, are left out: `ManifestLog` tells of them, and once is enough.
   */
  report(changes: readonly WrittenChange[]): void {
    const news = changes.filter(({ keptOut }) => !keptOut);
    const keysOf = (isMeant: (change: WrittenChange) => boolean): string[] =>
      news.filter(isMeant).map(({ key }) => key);
    const added = keysOf(({ before }) => before === undefined);
    const removed = keysOf(({ now }) => now === undefined);
    const changed = keysOf(({ before, now }) => before !== undefined && now !== undefined);
    this.counters.accepted += added.length + changed.length;
    this.counters.removed += removed.length;
    if (this.#isFirst) {
      this.#isFirst = false;
      this.#log.info('manifests in force', { objects: added.length, kinds: countKinds(added) });
      return;
    }
    if (news.length === 0) return;
    this.#log.info('manifests changed', {
      added: nameSome(added),
      changed: nameSome(changed),
      removed: nameSome(removed),
    });
  }
}

function nameSome(keys: readonly string[]): string | undefined {
  if (keys.length === 0) return undefined;
  const names = keys.slice(0, NAMES_MAX).join(', ');
  return keys.length > NAMES_MAX ? `${names} and ${keys.length - NAMES_MAX} more` : names;
}

function countKinds(keys: Iterable<string>): string {
  const counts = new Map<string, number>();
  for (const key of keys) {
    const kind = key.slice(0, key.indexOf(' '));
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
}
