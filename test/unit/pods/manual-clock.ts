// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '#src/model/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

/** Time that moves when a test says so. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  readonly #timers = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, run: () => void): Cancel {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Moves on and runs what is due, in order; at most `depth` rounds of timers that set timers. */
  advance(ms: number, depth = 100): void {
    this.#nowMs += ms;
    for (let round = 0; round <= depth; round++) {
      const due = [...this.#timers].filter((timer) => timer.atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs);
      if (due.length === 0) return;
      for (const timer of due) {
        if (this.#timers.delete(timer)) timer.run();
      }
    }
  }
}
