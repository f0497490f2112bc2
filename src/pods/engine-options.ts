// SPDX-License-Identifier: Apache-2.0

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import type { Config } from '../config/table.ts';
import type { EngineOptions } from '../engine/port.ts';
import type { NodePlaces } from './node-home.ts';

/** Where the build puts the compiled eBPF objects. */
export const BPF_DIRECTORY = fileURLToPath(new URL('../../build/bpf', import.meta.url));

// More threads than this have nothing to do on one node's traffic, and each costs its buffers.
const WORKERS_MAX = 8;

/** The configuration in the engine's words. */
export function engineOptions(
  { kernel, engine, mesh }: Config<'kernel' | 'engine' | 'mesh'>,
  places: NodePlaces,
  upstreamResolvers: readonly string[],
): EngineOptions {
  return {
    pinDirectory: places.pinDirectory,
    podsCgroup: places.podsCgroup,
    agentCgroup: places.agentCgroup,
    probeCgroup: engine.probeCgroup ?? '',
    bpfDirectory: kernel.bpfDirectory ?? BPF_DIRECTORY,
    trustDomain: mesh.trustDomain,
    workerThreads: engine.workerThreads === 0 ? Math.min(availableParallelism(), WORKERS_MAX) : engine.workerThreads,
    upstreamResolvers,
    connectTimeoutMs: engine.connectTimeoutMs,
    tlsTimeoutMs: engine.tlsTimeoutMs,
    verdictTimeoutMs: engine.verdictTimeoutMs,
    verdictQueueMax: engine.verdictQueueMax,
    connectionsMax: engine.connectionsMax,
    streamsPerTunnelMax: engine.streamsPerTunnelMax,
    tunnelIdleMs: engine.tunnelIdleMs,
    streamWindowBytes: engine.streamWindowBytes,
    connectionWindowBytes: engine.connectionWindowBytes,
    pingIntervalMs: engine.pingIntervalMs,
    pingTimeoutMs: engine.pingTimeoutMs,
  };
}
