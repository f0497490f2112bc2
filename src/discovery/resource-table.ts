// SPDX-License-Identifier: Apache-2.0

import type { EncodedResource } from './resource.ts';

const NONE: ReadonlySet<string> = new Set();

/** The resources of one type as they are now, found by name, by alias, and by the Service they belong to. */
export class ResourceTable {
  #byName = new Map<string, EncodedResource>();
  #byAlias = new Map<string, Set<string>>();
  #members = new Map<string, Set<string>>();

  get size(): number {
    return this.#byName.size;
  }

  find(name: string): EncodedResource | undefined {
    return this.#byName.get(name);
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** Takes over a whole new content; returns the names that are new, gone or of another version. */
  replace(resources: Iterable<EncodedResource>): Set<string> {
    const before = this.#byName;
    this.#byName = new Map();
    this.#byAlias = new Map();
    this.#members = new Map();
    for (const resource of resources) {
      this.#byName.set(resource.name, resource);
      for (const alias of resource.aliases) addTo(this.#byAlias, alias, resource.name);
      for (const service of resource.memberOf) addTo(this.#members, service, resource.name);
    }
    const changed = new Set<string>();
    for (const [name, { version }] of this.#byName) if (before.get(name)?.version !== version) changed.add(name);
    for (const name of before.keys()) if (!this.#byName.has(name)) changed.add(name);
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
}

function addTo(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  if (names === undefined) index.set(key, new Set([name]));
  else names.add(name);
}
