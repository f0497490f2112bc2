// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';

/** The text of the metrics at one moment. */
export interface Rendering {
  readonly text: Uint8Array;
  readonly type: string;
}

// A rendering is followed by ten times its own length for others' work on this thread, within reason.
const REST_FACTOR = 10;
const REST_MS_MIN = 50;
const REST_MS_MAX = 1000;

interface Scraper {
  resolve(rendering: Rendering): void;
  reject(error: unknown): void;
}

/**
 * Renders the metrics once a moment for all who ask, whatever their number; for nobody when all of them have gone.
 *
 * No answer is older than its question: who comes while one is rendered gets the next.
 */
export class Scrapes {
  readonly counters = { rendered: 0, shared: 0, abandoned: 0 };
  readonly #render: () => Promise<Rendering>;
  readonly #clock: Clock;
  #scrapers = new Set<Scraper>();
  #restUntilMs = -Infinity;
  #cancelNext: Cancel | undefined;
  #isRendering = false;

  constructor(render: () => Promise<Rendering>, clock: Clock) {
    this.#render = render;
    this.#clock = clock;
  }

  /** Rejects with the reason of `gone` when that aborts, or with what the rendering failed of. */
  ask(gone: AbortSignal): Promise<Rendering> {
    const { promise, resolve, reject } = Promise.withResolvers<Rendering>();
    const scraper = { resolve, reject };
    this.#scrapers.add(scraper);
    gone.addEventListener('abort', () => this.#abandon(scraper, gone.reason), { once: true });
    this.#schedule();
    return promise;
  }

  #abandon(scraper: Scraper, reason: unknown): void {
    if (!this.#scrapers.delete(scraper)) return;
    this.counters.abandoned += 1;
    scraper.reject(reason);
    if (this.#scrapers.size > 0) return;
    this.#cancelNext?.();
    this.#cancelNext = undefined;
  }

  #schedule(): void {
    if (this.#isRendering || this.#cancelNext !== undefined || this.#scrapers.size === 0) return;
    const restMs = this.#restUntilMs - this.#clock.nowMs();
    // Also without a rest only in a later turn: those who ask in one turn ask together.
    this.#cancelNext = this.#clock.setTimer(Math.min(Math.max(restMs, 0), REST_MS_MAX), () => void this.#answer());
  }

  async #answer(): Promise<void> {
    const scrapers = this.#scrapers;
    this.#scrapers = new Set();
    this.#cancelNext = undefined;
    this.#isRendering = true;
    const startMs = this.#clock.nowMs();
    try {
      const rendering = await this.#render();
      this.counters.rendered += 1;
      this.counters.shared += scrapers.size - 1;
      for (const scraper of scrapers) scraper.resolve(rendering);
    } catch (error) {
      for (const scraper of scrapers) scraper.reject(error);
    }
    const endMs = this.#clock.nowMs();
    this.#restUntilMs = endMs + Math.min(Math.max((endMs - startMs) * REST_FACTOR, REST_MS_MIN), REST_MS_MAX);
    this.#isRendering = false;
    this.#schedule();
  }
}
