// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '#src/model/clock.ts';

// The same in each run, so that what depends on the time of day fails always or never.
const START_MS = Date.UTC(2026, 0, 31, 23, 59, 30);

/** A clock that moves only when told, and runs what falls due in order. */
export class ManualClock implements Clock {
  #nowMs = START_MS;
  #timers = new Set<{ atMs: number; run: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  get timers(): number {
    return this.#timers.size;
  }

  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const [due] = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.run();
    }
    this.#nowMs = untilMs;
  }
}
