// SPDX-License-Identifier: Apache-2.0

import { IncrementalMesh } from '../compile/incremental-mesh.ts';
import type { CompileSettings } from '../compile/settings.ts';
import type { DeltaServer } from '../discovery/delta-server.ts';
import type { PodRegistryServer } from '../discovery/pod-registry-server.ts';
import type { RegisteredPod } from '../discovery/pod-table.ts';
import { errorTrace } from '../host/error-trace.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import type { ObjectSnapshot, ObjectStore } from '../objects/object-store.ts';
import type { MeshObject } from '../objects/objects.ts';
import { type Notice, noticeText, type StandingProblem } from '../objects/problem.ts';
import { type TellingChanges, Tellings } from '../objects/tellings.ts';
import type { ChangeLog } from './change-log.ts';
import type { KeptState } from './kept-state.ts';
import type { ManifestLog } from './manifest-log.ts';
import type { Publication } from './publication.ts';
import type { ReportedPods } from './reported-pods.ts';

/** The store's sources, in order of precedence. */
export const SOURCES = { nodes: 'nodes', manifests: 'manifests' } as const;

export interface MeshPublisherOptions {
  readonly store: ObjectStore;
  readonly registry: Pick<PodRegistryServer, 'pods' | 'takeChanges' | 'decide' | 'reject' | 'tellProblems'>;
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

/** Makes the mesh of manifests and reported pods, and publishes what of it changed: at start, and after each change. */
export class MeshPublisher {
  readonly counters = { published: 0, failures: 0 };
  readonly #options: MeshPublisherOptions;
  #mesh: IncrementalMesh;
  /** The mesh knows nothing, or not all: it takes in every object there is. */
  #isWhole = true;
  /** What could not be written down so far. */
  readonly #unkept = { pods: false, manifests: false };
  readonly #notices = new Tellings<Notice>(noticeText);
  readonly #untold: {
    readonly problems: TellingChanges<StandingProblem>[];
    readonly notices: TellingChanges<Notice>[];
  } = { problems: [], notices: [] };
  #cancel: Cancel | undefined;
  #cancelRetry: Cancel | undefined;
  #closed = false;

  constructor(options: MeshPublisherOptions) {
    this.#options = options;
    this.#mesh = this.#makeMesh();
  }

  /** Services that nodes are told of. */
  get services(): number {
    return this.#mesh.services.size;
  }

  /** Pods or manifests are others than they were. */
  changed(): void {
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

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancelRetry?.();
  }

  /**
   * Publishes what changed since the last time. Throws when that cannot be compiled; nothing has been published then, and
   * the next time begins with everything.
   */
  publish(): void {
    const { store, registry, reported, publication, delta, changeLog } = this.#options;
    const isWhole = this.#isWhole;
    this.#isWhole = true;
    const pods = registry.takeChanges();
    this.#keep(pods);
    if (isWhole) for (const pod of registry.pods()) pods.set(pod.uid, pod);
    const manifests = this.#takeChanges();
    const update = reported.update(pods, manifests, store.snapshot());
    this.#untold.notices.push(update.notices);
    store.apply(SOURCES.nodes, update.manifests);
    const others = this.#takeChanges();
    if (isWhole) this.#mesh = this.#makeMesh();
    const change = this.#mesh.update(isWhole ? everyObject(store.snapshot()) : [...manifests, ...others]);
    delta.publish(publication.encode(change, isWhole));
    this.#isWhole = false;
    this.counters.published += 1;
    // After publishing: a pod that leaves is dialled in plaintext before its node is told to let it go.
    for (const decision of update.decisions) registry.decide(decision);
    for (const { uid, reason } of update.refused) registry.reject(uid, reason);
    changeLog.report(store.takeWritten(SOURCES.manifests));
    this.#tell();
  }

  /** Objects that changed; what is to be told of them waits until they are published. */
  #takeChanges(): readonly MeshObject[] {
    const { objects, problems, notices } = this.#options.store.takeChanges();
    this.#untold.problems.push(problems);
    this.#untold.notices.push(notices);
    return objects;
  }

  #tell(): void {
    const { registry, manifestLog } = this.#options;
    this.#untold.notices.push(this.#notices.takeChanges());
    const problems = joined(this.#untold.problems.splice(0));
    const notices = joined(this.#untold.notices.splice(0));
    if ([problems, notices].every(({ added, removed }) => added.length + removed.length === 0)) return;
    manifestLog.report(problems, notices);
    registry.tellProblems(manifestLog.describe());
  }

  #makeMesh(): IncrementalMesh {
    this.#notices.clear();
    return new IncrementalMesh(this.#options.store.snapshot(), this.#options.settings, this.#notices);
  }

  // Before publishing: what a node has heard of must not be forgotten by a restart.
  #keep(pods: ReadonlyMap<string, RegisteredPod | undefined>): void {
    const { kept, registry, store, clock } = this.#options;
    const files = store.takeFiles(SOURCES.manifests);
    if (pods.size > 0 || this.#unkept.pods)
      this.#unkept.pods = !kept.savePods(pods, () => registry.pods().map((pod) => [pod.uid, pod]));
    if (files.size > 0 || this.#unkept.manifests)
      this.#unkept.manifests = !kept.saveManifests(files, () =>
        store.inForce(SOURCES.manifests).map((file) => [file.file, file]),
      );
    if (!this.#unkept.pods && !this.#unkept.manifests) return;
    this.#cancelRetry ??= clock.setTimer(KEEP_RETRY_MS, () => {
      this.#cancelRetry = undefined;
      this.#keep(new Map());
    });
  }
}

function everyObject(objects: ObjectSnapshot): MeshObject[] {
  return [...objects.counts().keys()].flatMap((kind): readonly MeshObject[] => objects.of(kind));
}

function joined<T>(changes: readonly TellingChanges<T>[]): TellingChanges<T> {
  return {
    added: changes.flatMap(({ added }) => added),
    removed: changes.flatMap(({ removed }) => removed),
  };
}
