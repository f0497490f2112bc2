// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';

import { ChangeLog } from '../cluster/change-log.ts';
import type { KeptState } from '../cluster/kept-state.ts';
import { ManifestLog } from '../cluster/manifest-log.ts';
import { MeshPublisher, SOURCES } from '../cluster/mesh-publisher.ts';
import { NodeRanges } from '../cluster/node-ranges.ts';
import { Publication } from '../cluster/publication.ts';
import { ReportedPods } from '../cluster/reported-pods.ts';
import { DEFAULT_ENROLMENT_SETTINGS, decideCapture } from '../compile/enrolment.ts';
import { type CompileSettings, DEFAULT_COMPILE_SETTINGS } from '../compile/settings.ts';
import type { Config } from '../config/table.ts';
import type { Authentication } from '../discovery/authentication.ts';
import { DeltaServer } from '../discovery/delta-server.ts';
import { PodRegistryServer } from '../discovery/pod-registry-server.ts';
import type { JoinTokens } from '../identity/join-token.ts';
import type { ApiClient } from '../kubernetes/api-client.ts';
import type { WatchCounters } from '../kubernetes/reflector.ts';
import { systemClock } from '../model/clock.ts';
import { ObjectStore } from '../objects/object-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import { openSource, type SourceConfig } from './source.ts';

// As the agent's own notice, which may be of a control plane with another setting.
const TOKEN_NOTICE_SHARE = 0.25;

export type ControlConfig = Config<'control' | 'mesh' | 'defaults'> & {
  readonly source: SourceConfig;
  readonly stateDirectory: string;
};

/** What the mesh is: its sources, and the services that tell it to nodes. */
export interface OpenMesh {
  readonly store: ObjectStore;
  readonly registry: PodRegistryServer;
  readonly delta: DeltaServer;
  readonly publisher: MeshPublisher;
  readonly manifestLog: ManifestLog;
  readonly changeLog: ChangeLog;
  /** Of each part, for the metrics. */
  readonly counters: {
    readonly state: KeptState['counters'];
    readonly registry: PodRegistryServer['counters'];
    readonly discovery: DeltaServer['counters'];
    readonly publisher: MeshPublisher['counters'];
    readonly publication: Publication['counters'];
    readonly manifests: ManifestLog['counters'];
    readonly changes: ChangeLog['counters'];
    readonly api: WatchCounters;
  };
  /** Restores, reads the manifests, and publishes once: nobody may be answered before. */
  start(signal?: AbortSignal): Promise<void>;
  close(): void;
}

/** Who may attach, and with what next. */
export interface NodeAccess {
  readonly authentication: Authentication;
  readonly tokens: JoinTokens;
}

/** Wires the mesh; it is nobody's yet. */
export function openMesh(
  config: ControlConfig,
  kept: KeptState,
  access: NodeAccess,
  client: ApiClient | undefined,
  log: Logger,
): OpenMesh {
  const clock = systemClock;
  const { control } = config;
  const store = new ObjectStore([SOURCES.nodes, SOURCES.manifests]);
  const source = openSource(config.source, client, SOURCES.manifests, store, clock, log.child('source'));
  const delta = new DeltaServer({ clock, log: log.child('discovery') });
  const ranges = NodeRanges.open(
    control.clusterCidrs,
    join(config.stateDirectory, 'nodes.json'),
    log.child('pod registry'),
  );
  const registry = openRegistry(config, access, ranges, () => publisher.changed(), log);
  const changeLog = new ChangeLog(log.child('manifests'));
  const manifestLog = new ManifestLog(log.child('manifests'), clock);
  const publication = new Publication(log.child('publication'));
  const publisher = new MeshPublisher({
    store,
    registry,
    reported: openReportedPods(config),
    publication,
    delta,
    kept,
    changeLog,
    manifestLog,
    settings: compileSettings(config),
    clock,
    log: log.child('publication'),
  });
  return {
    store,
    registry,
    delta,
    publisher,
    manifestLog,
    changeLog,
    counters: {
      state: kept.counters,
      registry: registry.counters,
      discovery: delta.counters,
      publisher: publisher.counters,
      publication: publication.counters,
      manifests: manifestLog.counters,
      changes: changeLog.counters,
      ...source.counters,
    },
    start: async (signal) => {
      registry.restore(kept.loadPods(), ranges.nodes());
      await source.open(kept.loadManifests(), signal);
      publisher.publish();
      store.watch((_snapshot, source) => {
        if (source === SOURCES.manifests) publisher.changed();
      });
    },
    close: () => {
      // First: what is taken apart here is not the mesh any more.
      publisher.close();
      source.close();
      registry.close();
      delta.close();
      manifestLog.close();
    },
  };
}

function openRegistry(
  { control, mesh }: ControlConfig,
  { authentication, tokens }: NodeAccess,
  ranges: NodeRanges,
  onChange: () => void,
  log: Logger,
): PodRegistryServer {
  return new PodRegistryServer({
    callerOf: (metadata) => authentication.callerOf(metadata),
    welcome: (node) => ({ trustDomain: mesh.trustDomain, clusterId: mesh.clusterId, podCidrs: ranges.rangesOf(node) }),
    renewToken: (node, last) => tokens.renew(node, last, control.tokenLineMaxMs),
    tokenNoticeMs: control.tokenLineMaxMs * TOKEN_NOTICE_SHARE,
    onChange,
    graceMs: control.nodeGraceMs,
    forgetMs: control.nodeForgetMs,
    onNodeLost: (node, sinceMs) => ranges.lose(node, sinceMs),
    onNodeForgotten: (node) => ranges.forget(node),
    clock: systemClock,
    log: log.child('pod registry'),
  });
}

function openReportedPods({ defaults }: ControlConfig): ReportedPods {
  const { sameNodeMode, existingConnections } = defaults;
  const settings = { ...DEFAULT_ENROLMENT_SETTINGS, sameNodeMode, existingConnections };
  return new ReportedPods((pod, namespace) => decideCapture(pod, namespace, settings));
}

function compileSettings({ mesh, defaults }: ControlConfig): CompileSettings {
  return {
    ...DEFAULT_COMPILE_SETTINGS,
    trustDomain: mesh.trustDomain,
    clusterId: mesh.clusterId,
    clusterDomain: mesh.clusterDomain,
    rootNamespace: defaults.rootNamespace,
    serviceRanges: defaults.serviceCidr,
  };
}
