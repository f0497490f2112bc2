// SPDX-License-Identifier: Apache-2.0

import type { Log } from '../model/log.ts';

// Enough to recognise a change by; all of a large one would fill the log.
const NAMES_MAX = 5;

/** Tells what of the manifests is in force at the start, and then, one line a change, what was accepted. */
export class ChangeLog {
  /** Objects that were put in force: new ones, and new versions. */
  readonly counters = { accepted: 0, removed: 0 };
  readonly #log: Log;
  #before: ReadonlyMap<string, unknown> | undefined;
  #keptOutBefore: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * `now`: every object that was accepted, by `Kind namespace/name`, as it was written. Those that are `keptOut` by a
   * running pod, or have been until now, are left out: `ManifestLog` tells of them, and once is enough.
   */
  report(now: ReadonlyMap<string, unknown>, keptOut: ReadonlySet<string>): void {
    const before = this.#before;
    const keptOutBefore = this.#keptOutBefore;
    this.#before = now;
    this.#keptOutBefore = keptOut;
    const isNews = (key: string): boolean => !keptOut.has(key) && !keptOutBefore.has(key);
    if (before === undefined) {
      const keys = [...now.keys()].filter(isNews);
      this.counters.accepted += keys.length;
      this.#log.info('manifests in force', { objects: keys.length, kinds: countKinds(keys) });
      return;
    }
    const added = [...now.keys()].filter((key) => !before.has(key) && isNews(key));
    const removed = [...before.keys()].filter((key) => !now.has(key) && isNews(key));
    const changed = [...now].filter(
      ([key, written]) => before.has(key) && !isSame(before.get(key), written) && isNews(key),
    );
    if (added.length + changed.length + removed.length === 0) return;
    this.counters.accepted += added.length + changed.length;
    this.counters.removed += removed.length;
    this.#log.info('manifests changed', {
      added: nameSome(added),
      changed: nameSome(changed.map(([key]) => key)),
      removed: nameSome(removed),
    });
  }
}

// A file that did not change gives the same values again.
function isSame(before: unknown, now: unknown): boolean {
  return before === now || JSON.stringify(before) === JSON.stringify(now);
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
