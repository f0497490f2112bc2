// SPDX-License-Identifier: Apache-2.0

/** What came to be told, and what is told no more. */
export interface TellingChanges<T> {
  readonly added: readonly T[];
  readonly removed: readonly T[];
}

/**
 * Things that are told of many owners: problems of files, notices of objects.
 *
 * Kept by owner, so that what one of them says anew costs that owner alone. Two things are the same when their text is.
 */
export class Tellings<T> {
  readonly #textOf: (one: T) => string;
  readonly #told = new Map<string, readonly T[]>();
  /** What an owner told when the changes were last taken. */
  readonly #before = new Map<string, readonly T[]>();

  constructor(textOf: (one: T) => string) {
    this.#textOf = textOf;
  }

  /** All that an owner tells from now on. */
  set(owner: string, told: readonly T[]): void {
    const before = this.#told.get(owner) ?? [];
    if (told.length === 0 && before.length === 0) return;
    if (!this.#before.has(owner)) this.#before.set(owner, before);
    if (told.length === 0) this.#told.delete(owner);
    else this.#told.set(owner, told);
  }

  /** Nobody tells anything any more. */
  clear(): void {
    for (const owner of this.#told.keys()) this.set(owner, []);
  }

  of(owner: string): readonly T[] {
    return this.#told.get(owner) ?? [];
  }

  owners(): Iterable<string> {
    return this.#told.keys();
  }

  *values(): Iterable<T> {
    for (const told of this.#told.values()) yield* told;
  }

  /** What changed since this was called last. */
  takeChanges(): TellingChanges<T> {
    const added: T[] = [];
    const removed: T[] = [];
    for (const [owner, before] of this.#before) {
      const now = this.of(owner);
      added.push(...this.#without(now, before));
      removed.push(...this.#without(before, now));
    }
    this.#before.clear();
    return { added, removed };
  }

  #without(these: readonly T[], those: readonly T[]): T[] {
    const texts = new Set(those.map(this.#textOf));
    return these.filter((one) => !texts.has(this.#textOf(one)));
  }
}
