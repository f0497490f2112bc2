// SPDX-License-Identifier: Apache-2.0

import { isDeepStrictEqual } from 'node:util';

interface Query {
  readonly evaluate: () => unknown;
  value: unknown;
  /** The units whose result hangs on it. */
  readonly readers: Set<string>;
}

/**
 * Which unit read which answer, so that a unit is made anew only where an answer is another.
 *
 * A query has a key that names all it hangs on beside the state of the whole; units that ask alike share it, and it is
 * answered once.
 */
export class Dependencies {
  readonly #queries = new Map<string, Query>();
  readonly #reads = new Map<string, Set<string>>();
  #unit: string | undefined;

  /** Makes a unit, and takes note of all that it asks meanwhile; what it asked before is forgotten. */
  make<T>(unit: string, make: () => T): T {
    this.forget(unit);
    this.#unit = unit;
    try {
      return make();
    } finally {
      this.#unit = undefined;
    }
  }

  /** The answer to a query; `evaluate` gives it whenever it is asked for. */
  read<T>(key: string, evaluate: () => T): T {
    let query = this.#queries.get(key);
    if (query === undefined) this.#queries.set(key, (query = { evaluate, value: evaluate(), readers: new Set() }));
    if (this.#unit !== undefined) {
      query.readers.add(this.#unit);
      const reads = this.#reads.get(this.#unit) ?? new Set();
      this.#reads.set(this.#unit, reads.add(key));
    }
    return query.value as T;
  }

  /** A unit is gone, or about to be made anew. Queries that nobody asks any more go with it. */
  forget(unit: string): void {
    for (const key of this.#reads.get(unit) ?? []) {
      const query = this.#queries.get(key);
      query?.readers.delete(unit);
      if (query?.readers.size === 0) this.#queries.delete(key);
    }
    this.#reads.delete(unit);
  }

  /** Answers every query again; returns the units that read an answer which is another now. */
  renewAll(): Set<string> {
    return this.#renew(this.#queries.keys());
  }

  /** The same for some of them; of those that nobody has asked nothing is done. */
  renew(keys: Iterable<string>): Set<string> {
    return this.#renew(keys);
  }

  #renew(keys: Iterable<string>): Set<string> {
    const stale = new Set<string>();
    for (const key of keys) {
      const query = this.#queries.get(key);
      if (query === undefined) continue;
      const value = query.evaluate();
      if (isDeepStrictEqual(value, query.value)) continue;
      query.value = value;
      for (const reader of query.readers) stale.add(reader);
    }
    return stale;
  }
}
