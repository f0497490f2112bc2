// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '../model/clock.ts';
import type { FileContent } from './directory-listing.ts';

// How long a file must have been empty before that is no moment of its being written.
const EMPTIED_MS = 1000;

interface Look {
  /** `undefined`: the file is gone. */
  readonly content: FileContent | undefined;
  readonly sinceMs: number;
}

/** Files that say something new, each until it has said the same for one debounce. */
export class UnsettledFiles {
  readonly #clock: Clock;
  readonly #debounceMs: number;
  #looks = new Map<string, Look>();
  #restless = new Set<string>();

  constructor(clock: Clock, debounceMs: number) {
    this.#clock = clock;
    this.#debounceMs = debounceMs;
  }

  get size(): number {
    return this.#looks.size;
  }

  /** Files that were given up on, and have not held still since. */
  get restless(): Iterable<string> {
    return this.#restless;
  }

  /** Takes note of what a file says now; true when that may be believed, and then it is forgotten. */
  settles(file: string, content: FileContent | undefined): boolean {
    const nowMs = this.#clock.nowMs();
    const before = this.#looks.get(file);
    const same = before !== undefined && isSame(before.content, content);
    // By how far apart they are: a clock that was set back must not stop everything.
    if (same && Math.abs(nowMs - before.sinceMs) >= this.#debounceMs && !this.#isJustEmptied(content)) {
      this.forget(file);
      return true;
    }
    this.#looks.set(file, same ? before : { content, sinceMs: nowMs });
    return false;
  }

  forget(file: string): void {
    this.#looks.delete(file);
    this.#restless.delete(file);
  }

  /** Forgets every file that is none of these. */
  retain(files: ReadonlyMap<string, unknown>): void {
    for (const file of this.#looks.keys()) if (!files.has(file)) this.forget(file);
  }

  /** Gives up on those that still change. */
  giveUp(): void {
    for (const [file, { content }] of this.#looks) if (!this.#isJustEmptied(content)) this.#restless.add(file);
  }

  /** A writer that truncates first may be kept from writing for far longer than one debounce. */
  #isJustEmptied(content: FileContent | undefined): boolean {
    if (content?.text !== '') return false;
    return Math.abs(this.#clock.nowMs() - Number(content.writtenNs / 1_000_000n)) < EMPTIED_MS;
  }
}

function isSame(a: FileContent | undefined, b: FileContent | undefined): boolean {
  return a?.text === b?.text && a?.writtenNs === b?.writtenNs;
}
