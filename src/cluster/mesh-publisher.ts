// SPDX-License-Identifier: Apache-2.0

import { compileMesh } from '../compile/compile.ts';
import type { CompileSettings } from '../compile/settings.ts';
import type { DeltaServer } from '../discovery/delta-server.ts';
import type { PodRegistryServer } from '../discovery/pod-registry-server.ts';
import { errorTrace } from '../host/error-trace.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import type { ChangeLog } from './change-log.ts';
import type { KeptState } from './kept-state.ts';
import type { ManifestLog } from './manifest-log.ts';
import type { Publication } from './publication.ts';
import type { ReportedPods } from './reported-pods.ts';

/** The store's sources, in order of precedence. */
export const SOURCES = { nodes: 'nodes', manifests: 'manifests' } as const;

export interface MeshPublisherOptions {
  readonly store: ObjectStore;
  readonly registry: Pick<PodRegistryServer, 'pods' | 'decide' | 'reject' | 'tellProblems'>;
  readonly reported: ReportedPods;
  readonly publication: Publication;
  readonly delta: Pick<DeltaServer, 'publish'>;
  readonly kept: KeptState;
  readonly changeLog: ChangeLog;
  readonly manifestLog: ManifestLog;
  readonly settings: CompileSettings;
  readonly clock: Clock;
  readonly log: Log;
}

// A change of many objects, and the reports of many pods, are published once.
const PUBLISH_DELAY_MS = 5;
// What could not be written down is tried again; the disk may have room by then.
const KEEP_RETRY_MS = 10_000;

/** Makes the mesh of manifests and reported pods, and publishes it: at start, and after each change. */
export class MeshPublisher {
  readonly counters = { published: 0, failures: 0 };
  readonly #options: MeshPublisherOptions;
  #services = 0;
  #podsChanged = false;
  #manifestsChanged = true;
  #cancel: Cancel | undefined;
  #cancelRetry: Cancel | undefined;
  #closed = false;

  constructor(options: MeshPublisherOptions) {
    this.#options = options;
  }

  /** Services that nodes are told of. */
  get services(): number {
    return this.#services;
  }

  podsChanged(): void {
    this.#podsChanged = true;
    this.#schedule();
  }

  manifestsChanged(): void {
    this.#manifestsChanged = true;
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancelRetry?.();
  }

  /** Publishes what there is now. Throws when that cannot be compiled; nothing has been published then. */
  publish(): void {
    const { store, registry, reported, publication, delta, changeLog, manifestLog, settings } = this.#options;
    this.#keep();
    const { manifests, decisions, notices, refused } = reported.update(registry.pods(), store.snapshot());
    store.replace(SOURCES.nodes, manifests);
    const compiled = compileMesh(store.snapshot(), settings);
    delta.publish(publication.encode(compiled));
    this.counters.published += 1;
    this.#services = compiled.services.size;
    // After publishing: a pod that leaves is dialled in plaintext before its node is told to let it go.
    for (const decision of decisions) registry.decide(decision);
    for (const { uid, reason } of refused) registry.reject(uid, reason);
    changeLog.report(store.written(SOURCES.manifests), store.keptOut(SOURCES.manifests));
    manifestLog.report(store.problems(), [...store.notices(), ...compiled.notices, ...notices]);
    registry.tellProblems(manifestLog.describe());
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#cancel ??= this.#options.clock.setTimer(PUBLISH_DELAY_MS, () => {
      this.#cancel = undefined;
      try {
        this.publish();
      } catch (error) {
        this.counters.failures += 1;
        const reason = errorTrace(error);
        this.#options.log.error('change not published, what was published stays', { reason });
      }
    });
  }

  // Before publishing: what a node has heard of must not be forgotten by a restart.
  #keep(): void {
    const { kept, registry, store, clock } = this.#options;
    if (this.#podsChanged) this.#podsChanged = !kept.savePods(registry.pods());
    if (this.#manifestsChanged) this.#manifestsChanged = !kept.saveManifests(store.inForce(SOURCES.manifests));
    if (!this.#podsChanged && !this.#manifestsChanged) return;
    this.#cancelRetry ??= clock.setTimer(KEEP_RETRY_MS, () => {
      this.#cancelRetry = undefined;
      this.#keep();
    });
  }
}
