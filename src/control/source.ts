// SPDX-License-Identifier: Apache-2.0

import type { ObjectStore } from '../objects/object-store.ts';
import { readApiServer } from '../config/env.ts';
import type { Part } from '../config/table.ts';
import { apiAccess } from '../kubernetes/api-access.ts';
import { ApiClient } from '../kubernetes/api-client.ts';
import { ObjectSource } from '../kubernetes/object-source.ts';
import { makeWatchCounters, type WatchCounters } from '../kubernetes/reflector.ts';
import { DirectorySource, requireManifests } from '../manifests/directory-source.ts';
import type { Clock } from '../model/clock.ts';
import type { ParsedManifest } from '../objects/read-objects.ts';
import type { Log } from '../model/log.ts';
import type { KeptState } from '../cluster/kept-state.ts';

/** Where the mesh is written down. */
export type SourceConfig =
  | { readonly kind: 'directory'; readonly manifests: string }
  | ({ readonly kind: 'kubernetes'; readonly kubeconfig: string | undefined } & Omit<
      Part<'source'>,
      'manifests' | 'kube'
    >);

/** A source of objects, which keeps the store at what it says. */
export interface MeshSource {
  /** Resolves when the store has what there is now; `restored`: what was in force before a restart. */
  open(restored: readonly ParsedManifest[], signal?: AbortSignal): Promise<void>;
  close(): void;
  /** Of the API server's side; a directory leaves them at 0. */
  readonly counters: { readonly api: WatchCounters };
}

/** The API server of the source, as this process may ask it; undefined where there is none. Throws `AccessError`. */
export async function openApiClient(source: SourceConfig): Promise<ApiClient | undefined> {
  if (source.kind === 'directory') return undefined;
  return new ApiClient(await apiAccess(source.kubeconfig, readApiServer()));
}

/** Throws `ManifestsMissing` where there is nothing to start from, before anything is made. */
export async function requireSource(
  source: SourceConfig,
  kept: KeptState,
  log: Log,
  signal?: AbortSignal,
): Promise<void> {
  if (source.kind === 'kubernetes') return;
  // In a directory that is not meant for manifests it may take a while.
  log.info('reading manifests', { directory: source.manifests });
  if (!kept.hasManifests) await requireManifests(source.manifests, signal);
}

/** The source, under this name of the store. */
export function openSource(
  source: SourceConfig,
  client: ApiClient | undefined,
  name: string,
  store: ObjectStore,
  clock: Clock,
  log: Log,
): MeshSource {
  if (source.kind === 'directory')
    return fromDirectory(new DirectorySource({ directory: source.manifests, source: name }, store, clock));
  if (client === undefined) throw new Error('the source is Kubernetes, and there is no client of it');
  const objects = new ObjectSource({ client, store, source: name, clock, log });
  // The API server remembers by itself, and what it does not have any more is gone.
  return {
    open: (_restored, signal) => objects.open(signal),
    close: () => objects.close(),
    counters: { api: objects.counters },
  };
}

function fromDirectory(directory: DirectorySource): MeshSource {
  return {
    open: (restored, signal) => directory.open(restored, signal),
    close: () => directory.close(),
    counters: { api: makeWatchCounters() },
  };
}
