// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';

import type { Config } from '../config/table.ts';
import { ConfigCache } from '../discovery/config-cache.ts';
import type { ControlPlane } from '../discovery/control-plane.ts';
import { DeltaClient, type DeltaUpdate } from '../discovery/delta-client.ts';
import { ADDRESS_TYPE } from '../discovery/resource.ts';
import type { MeshDelta, MeshStore } from '../mesh/store.ts';
import type { Clock } from '../model/clock.ts';
import type { Closers } from '../model/closers.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** The mesh as the control plane tells it, now or in an earlier run. */
export interface Discovery {
  readonly xds: DeltaClient;
  readonly cache: ConfigCache;
  /** Puts the last good configuration in force; returns how many resources it has. */
  restore(): Promise<number>;
}

export interface DiscoveryParts {
  readonly controlPlane: ControlPlane;
  readonly mesh: MeshStore;
  readonly address: string;
  readonly metrics: Metrics;
  /** The control plane serves a new stream. */
  readonly onAnswered: () => void;
  readonly clock: Clock;
}

/** Nothing is asked for before `xds.open`. */
export function openDiscovery(
  config: Config<'node' | 'state' | 'upstream' | 'mesh'>,
  log: Logger,
  { controlPlane, mesh, address, metrics, onAnswered, clock }: DiscoveryParts,
  closers: Closers,
): Discovery {
  const node = config.node.name;
  const { agentPod = `groundwire-${node}`, agentNamespace } = config.upstream;
  const cache = new ConfigCache({
    path: join(config.state.directory, node, 'config.cache'),
    clock,
    log: log.child('cache'),
  });
  closers.add('configuration cache', () => cache.close());
  const xds = new DeltaClient({
    controlPlane,
    clusterId: config.mesh.clusterId,
    node: { node, address, podName: agentPod, podNamespace: agentNamespace },
    sink: (update) => mesh.apply(toMeshDelta(update)).rejected,
    store: cache,
    onResponse: (type, bytes) => metrics.countXdsMessage(type, bytes),
    onAnswered,
    onEnded: (code) => metrics.countXdsTermination(code),
    clock,
    log: log.child('discovery'),
  });
  closers.add('discovery', () => xds.close());
  const restore = async (): Promise<number> => {
    const restored = await cache.load();
    xds.restore(restored);
    return restored.length;
  };
  return { xds, cache, restore };
}

function toMeshDelta({ type, upserts, removals, rejected }: DeltaUpdate): MeshDelta {
  return {
    workloads: upserts.flatMap((one) => (one.kind === 'workload' ? [one.workload] : [])),
    services: upserts.flatMap((one) => (one.kind === 'service' ? [one.service] : [])),
    policies: upserts.flatMap((one) => (one.kind === 'authorization' ? [one.authorization] : [])),
    rejected: rejected.map(({ name, reason, remains }) => ({ ...remains, name, reason })),
    [type === ADDRESS_TYPE ? 'removedAddresses' : 'removedPolicies']: removals,
  };
}
