// SPDX-License-Identifier: Apache-2.0

import { selects } from '../objects/objects.ts';

interface Entry<T> {
  readonly order: number;
  readonly selector: ReadonlyMap<string, string>;
  readonly item: T;
}

/**
 * Finds what selects a set of labels, in one namespace or in all.
 *
 * Entries are filed under one pair of their selector, so that a pod asks its few labels and not every Service.
 */
export class SelectorIndex<T> {
  readonly #entries = new Map<string, Entry<T>[]>();
  #count = 0;

  /** `namespace` "" selects in every namespace. An empty selector selects nothing. */
  add(namespace: string, selector: ReadonlyMap<string, string>, item: T): void {
    const [pair] = selector;
    if (pair === undefined) return;
    const key = indexKey(namespace, pair);
    const entry = { order: this.#count, selector, item };
    this.#count += 1;
    const list = this.#entries.get(key);
    if (list === undefined) this.#entries.set(key, [entry]);
    else list.push(entry);
  }

  /** Everything that selects these labels, in the order in which it was added. */
  find(namespace: string, labels: ReadonlyMap<string, string>): T[] {
    const found: Entry<T>[] = [];
    for (const pair of labels) {
      for (const scope of ['', namespace]) {
        for (const entry of this.#entries.get(indexKey(scope, pair)) ?? []) {
          if (selects(entry.selector, labels)) found.push(entry);
        }
      }
    }
    return found.sort((a, b) => a.order - b.order).map(({ item }) => item);
  }
}

function indexKey(namespace: string, [key, value]: readonly [string, string]): string {
  return `${namespace}\n${key}\n${value}`;
}
