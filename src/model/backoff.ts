// SPDX-License-Identifier: Apache-2.0

export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Share of the delay by which it varies up and down: 0.2 is ±20 %. */
  readonly jitter: number;
}

/** Exponential delays: each is twice the one before, up to a cap, and varied so that peers do not move in step. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #nextMs: number;

  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
    this.#nextMs = options.initialMs;
  }

  /** The delay before the next try. */
  next(): number {
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(delayMs * 2, this.#options.maxMs);
    return varyBy(delayMs, this.#options.jitter, this.#random);
  }

  reset(): void {
    this.#nextMs = this.#options.initialMs;
  }
}

/** `value` varied by at most the share `jitter`, evenly up and down. */
export function varyBy(value: number, jitter: number, random: () => number = Math.random): number {
  return value * (1 + jitter * (2 * random() - 1));
}
