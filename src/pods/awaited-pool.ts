// SPDX-License-Identifier: Apache-2.0

import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { AddressPool } from './address-pool.ts';

/** The addresses for the pods of a node: of the ranges it is configured with, or of the first ones it is given. */
export class AwaitedPool {
  /** Resolves once there are ranges, which may be never. */
  readonly opened: Promise<AddressPool>;
  readonly #resolve: (pool: AddressPool) => void;
  readonly #log: Log;
  #isOpen = false;
  /** What was given last and is of no use: told once, and not at every stream. */
  #refused: string | undefined;

  constructor(configured: readonly string[], log: Log) {
    const { promise, resolve } = Promise.withResolvers<AddressPool>();
    this.opened = promise;
    this.#resolve = resolve;
    this.#log = log;
    if (configured.length > 0) this.#open(configured);
  }

  /** Never throws: whoever is at the other end, the pods that are there go on. What is of no use is waited on. */
  give(ranges: readonly string[]): void {
    if (this.#isOpen) return;
    const text = ranges.join(',');
    try {
      if (ranges.length === 0) throw new Error('there is none');
      this.#open(ranges);
    } catch (error) {
      if (this.#refused === text) return;
      this.#refused = text;
      this.#log.error('the control plane gives this node ranges that pods cannot have addresses of', {
        ranges: text,
        error: errorText(error),
        hint: 'correct --cluster-cidr of the control plane, or set --pod-cidr here; no pod starts until then',
      });
    }
  }

  #open(ranges: readonly string[]): void {
    this.#resolve(new AddressPool(ranges));
    this.#isOpen = true;
  }
}
