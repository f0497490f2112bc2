// SPDX-License-Identifier: Apache-2.0

import type { MeshChange } from '../compile/incremental-mesh.ts';
import { encodeObject } from '../discovery/encode.ts';
import type { EncodedResource, MeshObject, ResourceChanges } from '../discovery/resource.ts';
import type { Log } from '../model/log.ts';

/** Turns what changed of the mesh into resources. An object that cannot be sent keeps the form in which it was sent last. */
export class Publication {
  readonly counters = { unencodable: 0 };
  readonly #encode: (object: MeshObject) => EncodedResource;
  readonly #log: Log;
  readonly #published = new Map<string, EncodedResource>();
  readonly #failed = new Set<string>();

  constructor(log: Log, encode: (object: MeshObject) => EncodedResource = encodeObject) {
    this.#encode = encode;
    this.#log = log;
  }

  /** `whole`: what the change does not name is there no more. */
  encode(change: PublishedChange, whole = false): ResourceChanges {
    const upserts: EncodedResource[] = [];
    const removals: EncodedResource[] = [];
    const remove = (name: string): void => {
      const before = this.#published.get(name);
      if (before === undefined) return;
      this.#published.delete(name);
      removals.push(before);
    };
    const named = new Set<string>();
    for (const [name, object] of objectsOf(change)) {
      named.add(name);
      if (object === undefined) {
        this.#failed.delete(name);
        remove(name);
        continue;
      }
      try {
        const resource = this.#encode(object);
        this.#failed.delete(name);
        this.#published.set(name, resource);
        upserts.push(resource);
      } catch (error) {
        this.#report(name, error, this.#published.has(name));
      }
    }
    if (whole) for (const name of this.#published.keys()) if (!named.has(name)) remove(name);
    return { upserts, removals };
  }

  // The same object may fail again and again, as often as it is changed.
  #report(name: string, error: unknown, kept: boolean): void {
    this.counters.unencodable += 1;
    if (this.#failed.has(name)) return;
    this.#failed.add(name);
    this.#log.error('object cannot be published', { object: name, reason: String(error), last_version_stays: kept });
  }
}

/** By the keys of the mesh; `undefined`: gone. */
export type PublishedChange = Pick<MeshChange, 'workloads' | 'services' | 'authorizations'>;

function* objectsOf({
  workloads,
  services,
  authorizations,
}: PublishedChange): Iterable<[string, MeshObject | undefined]> {
  for (const [uid, workload] of workloads) yield [`workload ${uid}`, workload && { kind: 'workload', workload }];
  for (const [key, service] of services) yield [`service ${key}`, service && { kind: 'service', service }];
  for (const [key, authorization] of authorizations)
    yield [`authorization ${key}`, authorization && { kind: 'authorization', authorization }];
}
