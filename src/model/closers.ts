// SPDX-License-Identifier: Apache-2.0

import type { Log } from './log.ts';

type Close = () => Promise<void> | void;

/** What has to be undone, in the order in which it was done; undone the other way round. */
export class Closers {
  readonly #log: Log;
  readonly #steps: { readonly what: string; readonly close: Close }[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(what: string, close: Close): void {
    this.#steps.push({ what, close });
  }

  /** Runs every step, also after one that failed: what cannot be undone is told, and keeps nothing else from its end. */
  async close(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.close();
      } catch (error) {
        this.#log.error('not closed', { what: step.what, error: String(error) });
      }
    }
  }
}
