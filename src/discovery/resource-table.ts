// SPDX-License-Identifier: Apache-2.0

import type { EncodedResource } from './resource.ts';

const NONE: ReadonlySet<string> = new Set();

/** The resources of one type as they are now, found by name, by alias, and by the Service they belong to. */
export class ResourceTable {
  readonly #byName = new Map<string, EncodedResource>();
  readonly #byAlias = new Map<string, Set<string>>();
  readonly #members = new Map<string, Set<string>>();

  get size(): number {
    return this.#byName.size;
  }

  find(name: string): EncodedResource | undefined {
    return this.#byName.get(name);
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** Takes in new resources and takes away others; returns the names that are new, gone or of another version. */
  apply(upserts: Iterable<EncodedResource>, removals: Iterable<string>): Set<string> {
    const changed = new Set<string>();
    for (const name of removals) if (this.#remove(name)) changed.add(name);
    for (const resource of upserts) {
      const { name } = resource;
      if (this.#byName.get(name)?.version !== resource.version) changed.add(name);
      this.#remove(name);
      this.#byName.set(name, resource);
      for (const alias of resource.aliases) addTo(this.#byAlias, alias, name);
      for (const service of resource.memberOf) addTo(this.#members, service, name);
    }
    return changed;
  }

  /**
   * What a client that asks for `key` is to get: the resource of that name, those of that alias, and the workloads of a
   * Service among them, since who dials a Service needs its endpoints. Empty: nothing has that name.
   */
  resolve(key: string): Set<string> {
    const names = new Set(this.#byAlias.get(key) ?? NONE);
    if (this.#byName.has(key)) names.add(key);
    for (const name of names) for (const member of this.#members.get(name) ?? NONE) names.add(member);
    return names;
  }

  #remove(name: string): boolean {
    const resource = this.#byName.get(name);
    if (resource === undefined) return false;
    this.#byName.delete(name);
    for (const alias of resource.aliases) removeFrom(this.#byAlias, alias, name);
    for (const service of resource.memberOf) removeFrom(this.#members, service, name);
    return true;
  }
}

function addTo(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  if (names === undefined) index.set(key, new Set([name]));
  else names.add(name);
}

function removeFrom(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  names?.delete(name);
  if (names?.size === 0) index.delete(key);
}
