// SPDX-License-Identifier: Apache-2.0

import type { InForce } from './in-force.ts';
import { compareText, objectKey } from './object-meta.ts';
import type { MeshKind, MeshObject, ObjectOfKind } from './objects.ts';
import { formatPlace } from './problem.ts';

/** Every object in force, as it is now: what was read from it holds until the next change of its store. */
export interface ObjectSnapshot {
  /** How many there are of each kind. */
  counts(): ReadonlyMap<MeshKind, number>;
  /** In a fixed order: namespace, then name. Sorted anew only where the kind has changed. */
  of<K extends MeshKind>(kind: K): readonly ObjectOfKind<K>[];
  /** `namespace` "" for kinds without one. */
  find<K extends MeshKind>(kind: K, namespace: string, name: string): ObjectOfKind<K> | undefined;
  /** Where an object in force is defined: file and line. */
  placeOf(object: MeshObject): string;
}

/** The one definition in force of each object, by kind and name. */
export class ObjectTable implements ObjectSnapshot {
  readonly #byKey = new Map<string, InForce>();
  readonly #byKind = new Map<MeshKind, Map<string, MeshObject>>();
  readonly #sorted = new Map<MeshKind, readonly MeshObject[]>();

  get(key: string): InForce | undefined {
    return this.#byKey.get(key);
  }

  /** Puts a definition in force, or takes that of a key away. */
  set(key: string, entry: InForce | undefined): void {
    const before = this.#byKey.get(key);
    const kind = (entry ?? before)?.object.kind;
    if (kind === undefined) return;
    const objects = this.#byKind.get(kind) ?? new Map<string, MeshObject>();
    this.#byKind.set(kind, objects);
    if (entry === undefined) {
      this.#byKey.delete(key);
      objects.delete(key);
    } else {
      this.#byKey.set(key, entry);
      objects.set(key, entry.object);
    }
    this.#sorted.delete(kind);
  }

  counts(): ReadonlyMap<MeshKind, number> {
    return new Map([...this.#byKind].filter(([, { size }]) => size > 0).map(([kind, { size }]) => [kind, size]));
  }

  of<K extends MeshKind>(kind: K): readonly ObjectOfKind<K>[] {
    let sorted = this.#sorted.get(kind);
    if (sorted === undefined) {
      sorted = [...(this.#byKind.get(kind)?.values() ?? [])].sort(byName);
      this.#sorted.set(kind, sorted);
    }
    return sorted as unknown as readonly ObjectOfKind<K>[];
  }

  find<K extends MeshKind>(kind: K, namespace: string, name: string): ObjectOfKind<K> | undefined {
    const found = this.#byKey.get(objectKey(kind, { namespace, name }))?.object;
    return found as ObjectOfKind<K> | undefined;
  }

  placeOf({ kind, meta }: MeshObject): string {
    const entry = this.#byKey.get(objectKey(kind, meta));
    return entry === undefined ? '' : formatPlace(entry);
  }
}

function byName(a: MeshObject, b: MeshObject): number {
  return compareText(a.meta.namespace, b.meta.namespace) || compareText(a.meta.name, b.meta.name);
}
