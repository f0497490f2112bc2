// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import type { MeshKind } from '../objects/objects.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { type ParsedManifest, readObjects } from '../objects/read-objects.ts';
import type { ApiClient } from './api-client.ts';
import { lean } from './lean-object.ts';
import { type ApiObject, makeWatchCounters, Reflector } from './reflector.ts';
import { WATCHED_RESOURCES, type WatchedResource } from './watched-resources.ts';

export interface ObjectSourceOptions {
  readonly client: ApiClient;
  readonly store: ObjectStore;
  /** The store's name for this source. */
  readonly source: string;
  readonly clock: Clock;
  readonly log: Log;
}

// Changes that come in one burst are told at once.
const GATHER_MS = 5;

/** Keeps an object store at what the API server says. Objects go the way of manifests: same readers, one "file" each. */
export class ObjectSource {
  readonly counters = makeWatchCounters();
  readonly #options: ObjectSourceOptions;
  readonly #reflectors: ReadonlyMap<MeshKind, Reflector>;
  readonly #manifests = new Map<MeshKind, Map<string, ParsedManifest>>();
  /** What changed since the store heard of it; `undefined`: gone. */
  #changes = new Map<string, ParsedManifest | undefined>();
  #opened = false;
  #cancel: Cancel | undefined;

  constructor(options: ObjectSourceOptions) {
    this.#options = options;
    this.#reflectors = new Map(WATCHED_RESOURCES.map((resource) => [resource.kind, this.#follow(resource)]));
  }

  /** Resolves when everything has been listed once, and the store has it; waits for an API server that is away. */
  async open(signal?: AbortSignal): Promise<void> {
    const giveUp = Promise.withResolvers<never>();
    const onAbort = (): void => giveUp.reject(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort);
    try {
      const lists = [...this.#reflectors.values()].map((reflector) => reflector.open());
      await Promise.race([Promise.all(lists), giveUp.promise]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    this.#opened = true;
    this.#tell();
  }

  close(): void {
    this.#cancel?.();
    for (const reflector of this.#reflectors.values()) reflector.close();
  }

  #follow({ kind, path, optional }: WatchedResource): Reflector {
    const { client, clock, log } = this.#options;
    const manifests = new Map<string, ParsedManifest>();
    this.#manifests.set(kind, manifests);
    return new Reflector({
      client,
      path,
      optional,
      counters: this.counters,
      clock,
      log,
      onList: (objects) => {
        const gone = new Set(manifests.keys());
        for (const object of objects) {
          gone.delete(fileOf(kind, object));
          this.#take(kind, manifests, object);
        }
        for (const file of gone) this.#drop(manifests, file);
      },
      onChange: (object) => this.#take(kind, manifests, object),
      onDelete: (object) => this.#drop(manifests, fileOf(kind, object)),
    });
  }

  #take(kind: MeshKind, manifests: Map<string, ParsedManifest>, object: ApiObject): void {
    const file = fileOf(kind, object);
    const value = lean(kind, object);
    const before = manifests.get(file);
    // A kubelet writes its pods' status every few seconds; most of it is nothing to us.
    if (before !== undefined && JSON.stringify(before.objects[0]?.source) === JSON.stringify(value)) return;
    const manifest = readObjects(file, [value], () => 1);
    manifests.set(file, manifest);
    this.#note(file, manifest);
  }

  #drop(manifests: Map<string, ParsedManifest>, file: string): void {
    if (manifests.delete(file)) this.#note(file, undefined);
  }

  #note(file: string, manifest: ParsedManifest | undefined): void {
    this.#changes.set(file, manifest);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#opened) return;
    this.#cancel ??= this.#options.clock.setTimer(GATHER_MS, () => {
      this.#cancel = undefined;
      this.#tell();
    });
  }

  #tell(): void {
    const changes = this.#changes;
    this.#changes = new Map();
    this.#options.store.apply(this.#options.source, changes);
  }
}

function fileOf(kind: MeshKind, { metadata: { namespace, name } }: ApiObject): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
