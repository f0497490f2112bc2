// SPDX-License-Identifier: Apache-2.0

import type { Clock } from './clock.ts';
import { QuietLog } from './quiet-log.ts';

// Keys may come from outside; who is forgotten for newer ones is told of once more.
const KEYS_MAX = 256;

/** A `QuietLog` for each of the things that may happen again and again, by a key that tells them apart. */
export class QuietLogs {
  readonly #clock: Clock;
  readonly #logs = new Map<string, QuietLog>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `write` now, or counts that it did not. */
  say(key: string, write: (keptBack: number) => void): void {
    const log = this.#logs.get(key) ?? new QuietLog(this.#clock);
    if (!this.#logs.has(key)) {
      const [oldest] = this.#logs.keys();
      if (oldest !== undefined && this.#logs.size >= KEYS_MAX) this.#logs.delete(oldest);
      this.#logs.set(key, log);
    }
    log.say(write);
  }

  /** It is over: the next time is news again. Without a key, all of it. */
  reset(key?: string): void {
    if (key === undefined) this.#logs.clear();
    else this.#logs.delete(key);
  }
}
