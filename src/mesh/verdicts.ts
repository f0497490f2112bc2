// SPDX-License-Identifier: Apache-2.0

import type { DependencyKey } from './view.ts';

export interface RecordedVerdict {
  readonly verdict: bigint;
  /** An older verdict that had to make room: the engine must forget it, since nobody watches over it any more. */
  readonly evicted?: bigint;
}

/** Each is a few hundred bytes; a node with more live (pod, destination) pairs re-asks for the oldest. */
export const VERDICTS_MAX = 262_144;

/**
 * Which answers of the engine's cache hang on what.
 *
 * `record` gives an answer its id; `invalidate` takes what changed and returns exactly the answers that read it, each
 * once: they are forgotten here and the engine has to forget them too. Bounded; the oldest makes room.
 * Limits: record O(dependencies), invalidate O(verdicts concerned x their dependencies).
 */
export class VerdictLedger {
  // In order of insertion, so the first is the oldest.
  readonly #dependenciesOf = new Map<bigint, readonly DependencyKey[]>();
  readonly #verdictsOf = new Map<DependencyKey, Set<bigint>>();
  readonly #verdictsMax: number;
  #next = 1n;
  #evictedTotal = 0;
  #invalidatedTotal = 0;

  constructor(verdictsMax: number = VERDICTS_MAX) {
    this.#verdictsMax = verdictsMax;
  }

  record(dependencies: Iterable<DependencyKey>): RecordedVerdict {
    const verdict = this.#next++;
    const keys = [...dependencies];
    const evicted =
      this.#dependenciesOf.size >= this.#verdictsMax ? this.#dependenciesOf.keys().next().value : undefined;
    if (evicted !== undefined) {
      this.#forget(evicted);
      this.#evictedTotal++;
    }
    this.#dependenciesOf.set(verdict, keys);
    for (const key of keys) {
      const verdicts = this.#verdictsOf.get(key);
      if (verdicts) verdicts.add(verdict);
      else this.#verdictsOf.set(key, new Set([verdict]));
    }
    return evicted === undefined ? { verdict } : { verdict, evicted };
  }

  invalidate(keys: Iterable<DependencyKey>): bigint[] {
    const invalid = new Set<bigint>();
    for (const key of keys) for (const verdict of this.#verdictsOf.get(key) ?? []) invalid.add(verdict);
    for (const verdict of invalid) this.#forget(verdict);
    this.#invalidatedTotal += invalid.size;
    return [...invalid];
  }

  get size(): number {
    return this.#dependenciesOf.size;
  }

  get max(): number {
    return this.#verdictsMax;
  }

  get evictedTotal(): number {
    return this.#evictedTotal;
  }

  get invalidatedTotal(): number {
    return this.#invalidatedTotal;
  }

  #forget(verdict: bigint): void {
    for (const key of this.#dependenciesOf.get(verdict) ?? []) {
      const verdicts = this.#verdictsOf.get(key);
      verdicts?.delete(verdict);
      if (verdicts?.size === 0) this.#verdictsOf.delete(key);
    }
    this.#dependenciesOf.delete(verdict);
  }
}
