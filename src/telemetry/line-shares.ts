// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';

const WINDOW_MS = 1000;

export interface LineSharesOptions {
  /** Lines of one pod a second; 0: as many as there are. */
  readonly podLinesMax: number;
  readonly clock: Clock;
  /** Told once a second of each pod that had more. */
  readonly onLeftOut: (pod: number, lines: number) => void;
}

/**
 * Lets each pod write so many lines a second and no more: a pod that opens connections without end costs the others neither
 * the time to write of it nor the disk.
 *
 * Bounded by the pods of the node: who wrote nothing in a second is forgotten.
 */
export class LineShares {
  readonly #options: LineSharesOptions;
  readonly #written = new Map<number, number>();
  #leftOutTotal = 0;
  #cancel: Cancel | undefined;

  constructor(options: LineSharesOptions) {
    this.#options = options;
  }

  get leftOutTotal(): number {
    return this.#leftOutTotal;
  }

  /** Whether the pod may write one more now. */
  take(pod: number): boolean {
    const { podLinesMax, clock } = this.#options;
    if (podLinesMax === 0) return true;
    this.#cancel ??= clock.setTimer(WINDOW_MS, () => this.#endWindow());
    const lines = (this.#written.get(pod) ?? 0) + 1;
    this.#written.set(pod, lines);
    if (lines <= podLinesMax) return true;
    this.#leftOutTotal++;
    return false;
  }

  /** Tells what is not told yet. */
  close(): void {
    this.#cancel?.();
    this.#endWindow();
  }

  #endWindow(): void {
    const { podLinesMax, onLeftOut } = this.#options;
    this.#cancel = undefined;
    for (const [pod, lines] of this.#written) if (lines > podLinesMax) onLeftOut(pod, lines - podLinesMax);
    this.#written.clear();
  }
}
