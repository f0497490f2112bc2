// SPDX-License-Identifier: Apache-2.0

import type { Clock } from './clock.ts';

const FIRST_PAUSE_MS = 10_000;
const PAUSE_MAX_MS = 600_000;

/**
 * Keeps something that happens again and again from filling the log: said at once, then at growing intervals, each time
 * with how often it was kept back since. `reset` when it is over: the next time is news again.
 */
export class QuietLog {
  readonly #clock: Clock;
  #pauseMs = FIRST_PAUSE_MS;
  #quietUntilMs = -Infinity;
  #keptBack = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `write` now, or counts that it did not. */
  say(write: (keptBack: number) => void): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#quietUntilMs) {
      this.#keptBack += 1;
      return;
    }
    write(this.#keptBack);
    this.#keptBack = 0;
    this.#quietUntilMs = nowMs + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
  }

  reset(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#quietUntilMs = -Infinity;
    this.#keptBack = 0;
  }
}
