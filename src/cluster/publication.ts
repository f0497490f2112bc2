// SPDX-License-Identifier: Apache-2.0

import type { CompiledMesh } from '../compile/compile.ts';
import { encodeObject } from '../discovery/encode.ts';
import type { EncodedResource, MeshObject } from '../discovery/resource.ts';
import type { Log } from '../model/log.ts';

/** Turns each compilation into resources. An object that cannot be sent keeps the form in which it was sent last. */
export class Publication {
  readonly counters = { unencodable: 0 };
  readonly #encode: (object: MeshObject) => EncodedResource;
  readonly #log: Log;
  #published = new Map<string, EncodedResource>();
  #failed: ReadonlySet<string> = new Set();

  constructor(log: Log, encode: (object: MeshObject) => EncodedResource = encodeObject) {
    this.#encode = encode;
    this.#log = log;
  }

  encode(mesh: CompiledMesh): EncodedResource[] {
    const next = new Map<string, EncodedResource>();
    const failed = new Set<string>();
    for (const [name, object] of objectsOf(mesh)) {
      try {
        next.set(name, this.#encode(object));
      } catch (error) {
        failed.add(name);
        const before = this.#published.get(name);
        if (before !== undefined) next.set(name, before);
        this.#report(name, error, before !== undefined);
      }
    }
    this.#published = next;
    this.#failed = failed;
    return [...next.values()];
  }

  // Every change compiles everything, so the same object fails again and again.
  #report(name: string, error: unknown, kept: boolean): void {
    this.counters.unencodable += 1;
    if (this.#failed.has(name)) return;
    this.#log.error('object cannot be published', { object: name, reason: String(error), last_version_stays: kept });
  }
}

function* objectsOf({ workloads, services, authorizations }: CompiledMesh): Iterable<[string, MeshObject]> {
  for (const [uid, workload] of workloads) yield [`workload ${uid}`, { kind: 'workload', workload }];
  for (const [key, service] of services) yield [`service ${key}`, { kind: 'service', service }];
  for (const [key, authorization] of authorizations)
    yield [`authorization ${key}`, { kind: 'authorization', authorization }];
}
