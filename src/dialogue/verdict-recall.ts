// SPDX-License-Identifier: Apache-2.0

import type { EnginePort } from '../engine/port.ts';
import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';

const RETRY = { initialMs: 50, maxMs: 2_000, jitter: 0.2 } as const;

/**
 * Takes answers that no longer hold back from the engine, and does not let go of one before the engine has.
 *
 * The ledger has forgotten them by then: what is lost here would stay allowed for good. So what the engine did not take
 * goes out again, with the next recall or after a pause.
 */
export class VerdictRecall {
  readonly counters = { failed: 0 };
  readonly #engine: Pick<EnginePort, 'apply'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #backoff = new Backoff(RETRY);
  #owed: readonly bigint[] = [];
  #cancelRetry: Cancel = () => {};
  #closed = false;

  constructor(engine: Pick<EnginePort, 'apply'>, clock: Clock, log: Log) {
    this.#engine = engine;
    this.#clock = clock;
    this.#log = log;
  }

  /** Answers that the engine still has although they no longer hold; 0 unless something is wrong with it. */
  get owed(): number {
    return this.#owed.length;
  }

  recall(invalidated: readonly bigint[]): void {
    if (this.#closed || invalidated.length + this.#owed.length === 0) return;
    const verdicts = [...this.#owed, ...invalidated];
    this.#owed = [];
    this.#cancelRetry();
    this.#engine.apply([{ kind: 'InvalidateVerdicts', verdicts }]).then(
      () => this.#backoff.reset(),
      (error: unknown) => this.#again(verdicts, error),
    );
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
  }

  #again(verdicts: readonly bigint[], error: unknown): void {
    if (this.#closed) return;
    this.counters.failed += 1;
    this.#owed = [...this.#owed, ...verdicts];
    const delayMs = this.#backoff.next();
    this.#log.error('answers that no longer hold were not taken back', {
      answers: this.#owed.length,
      error: String(error),
      retry_ms: Math.round(delayMs),
    });
    this.#cancelRetry();
    this.#cancelRetry = this.#clock.setTimer(delayMs, () => this.recall([]));
  }
}
