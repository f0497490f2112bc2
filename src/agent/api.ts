// SPDX-License-Identifier: Apache-2.0

import { chmod, rm } from 'node:fs/promises';
import { adminRoutes } from '../api/admin.ts';
import { AgentFactsReader } from '../api/agent-facts.ts';
import type { UpstreamFacts } from '../api/facts.ts';
import { closeServer, type HttpRoute, type HttpServerOptions, listenOn, makeHttpServer } from '../api/http.ts';
import { podRoutes } from '../api/pods.ts';
import { metricsRoutes, pendingTasks, readinessRoutes } from '../api/readiness.ts';
import { refusedAgentRoutes } from '../api/refused-agents.ts';
import { describeConfig } from '../config/render.ts';
import type { Config } from '../config/table.ts';
import { readVersion } from '../config/version.ts';
import { errorTrace } from '../host/error-trace.ts';
import type { ListenAddress } from '../host/listen.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Clock } from '../model/clock.ts';
import type { Closers } from '../model/closers.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Telemetry, TelemetrySources } from './telemetry.ts';

// Root's alone. Each pod holds one connection for as long as it lives, and there may be as many as a control plane takes of
// one node; the rest is for questions.
const SOCKET_LIMITS = { connectionsMax: 4096, perAddressMax: 4096, answerMs: undefined };

export interface ApiParts extends TelemetrySources {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** Resources that were put in force from disk. */
  readonly restored: number;
}

type ApiConfig = Config<'node' | 'upstream' | 'mesh' | 'api'>;

/** Listens on every door: agent.sock, admin, readiness, metrics. Closing them ends what is held open through them. */
export async function openApi(config: ApiConfig, log: Logger, parts: ApiParts, closers: Closers): Promise<void> {
  const { place, telemetry, clock } = parts;
  const { pods } = parts.pods;
  const state = agentState(config, parts);
  const facts = openFacts(config, parts, state);
  const onError = (error: unknown, request = ''): void =>
    log.error('request failed', {
      request,
      error: errorTrace(error),
    });
  const listen = async (
    routes: readonly HttpRoute[],
    flag: string,
    where: ListenAddress,
    options: Pick<HttpServerOptions, 'guardHost' | 'readOnly' | 'limits'>,
  ): Promise<void> => {
    const counted = { ...options, counters: telemetry.requests, clock, onError };
    const server = await listenOn(makeHttpServer(routes, counted), where, flag);
    closers.add('api', () => closeServer(server));
  };
  const admin = adminRoutes(facts, log);
  const { socket, counters } = place.home;
  const onRefused = (pid: number): void => {
    counters.agentsRefused += 1;
    log.warn('another agent was started for this node, and refused', { node: config.node.name, pid });
  };
  // A socket of an agent that was killed stays; the lock says that nobody serves it.
  await rm(socket, { force: true });
  await listen(
    [...podRoutes(pods, onError), ...refusedAgentRoutes(onRefused), ...admin],
    'run-dir',
    { path: socket },
    { guardHost: false, limits: SOCKET_LIMITS },
  );
  await chmod(socket, 0o600);
  await listen(admin, 'api-listen', config.api.admin, {
    guardHost: true,
    readOnly: `what changes something is taken on ${socket} only: curl --unix-socket ${socket} -X METHOD http://agent/PATH`,
  });
  const readiness = {
    get pending() {
      return state.pending();
    },
  };
  await listen(readinessRoutes(readiness), 'ready-listen', config.api.ready, { guardHost: false });
  await listen(metricsRoutes(telemetry.scrapes), 'metrics-listen', config.api.metrics, { guardHost: false });
}

function openFacts(config: ApiConfig, parts: ApiParts, state: AgentState): AgentFactsReader {
  const { engine, mesh, decisions, discovery, identity, place, startedMs } = parts;
  return new AgentFactsReader({
    engine,
    mesh,
    localPods: decisions.directory,
    listPods: () => parts.pods.pods.list(),
    listCertificates: () => identity.certificates.status(),
    readNode: () => place.nodeFacts.read(),
    upstream: state.upstream,
    pending: state.pending,
    rejectedTotal: () => discovery.xds.counters.rejectedResources,
    captureProblems: () => parts.captures.problems(),
    meshProblems: () => [...parts.pods.meshProblems(), ...decisions.names.problems()],
    unenrolled: () => parts.pods.unenrolled(),
    podFilesProblem: () => place.files.problem,
    tokenProblem: () => parts.upstream.tokens.problem(),
    recallsOwed: () => decisions.dialogue.recall.owed,
    findPolicy: (verdict) => decisions.decider.findPolicy(verdict),
    identity: () => ({ trustDomain: config.mesh.trustDomain, clusterId: config.mesh.clusterId }),
    version: readVersion(),
    config: describeConfig(config),
    startedMs,
  });
}

interface AgentState {
  readonly upstream: () => UpstreamFacts;
  /** What must still be done before the node is ready. */
  readonly pending: () => readonly string[];
}

function agentState({ upstream }: ApiConfig, { discovery, identity, pods, restored }: ApiParts): AgentState {
  const { control } = upstream;
  return {
    upstream: () => {
      const { state, synced, syncedMs, lastError } = discovery.xds.status();
      return {
        address: formatSocketAddress({ address: control.host, port: control.port }),
        state: synced ? 'connected' : state === 'open' ? 'connecting' : 'disconnected',
        ...(lastError !== '' && { problem: lastError }),
        ...(syncedMs !== undefined && { lastSyncTime: new Date(syncedMs).toISOString() }),
        fromCache: syncedMs === undefined && restored > 0,
      };
    },
    pending: () => {
      const hasMesh = restored > 0 || discovery.xds.status().syncedMs !== undefined;
      const isMoving = pods.pods.list().some(({ state }) => state.kind === 'starting' || state.kind === 'capturing');
      return pendingTasks({ hasMesh, isMoving, hasNoCertificate: identity.certificates.hasNone() });
    },
  };
}
