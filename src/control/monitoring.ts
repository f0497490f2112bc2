// SPDX-License-Identifier: Apache-2.0

import { closeServer, type HttpCounters, listenOn, makeHttpCounters, makeHttpServer } from '../api/http.ts';
import { metricsRoutes, readinessRoutes } from '../api/readiness.ts';
import { Scrapes } from '../api/scrapes.ts';
import { readVersion } from '../config/version.ts';
import type { Authentication } from '../discovery/authentication.ts';
import type { GrpcConnections } from '../discovery/grpc-connections.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from '../discovery/resource.ts';
import { errorTrace } from '../host/error-trace.ts';
import type { CertificateAuthority } from '../identity/certificate-authority.ts';
import type { SigningServer } from '../identity/signing-server.ts';
import { systemClock } from '../model/clock.ts';
import type { Closers } from '../model/closers.ts';
import { type ControlReader, declareControlMetrics } from '../telemetry/control-metrics.ts';
import type { Logger } from '../telemetry/logger.ts';
import { prefixed } from '../telemetry/readings.ts';
import { openRegistry } from '../telemetry/registry.ts';
import type { RootPublisher } from '../kubernetes/root-publisher.ts';
import type { Callers } from './callers.ts';
import type { ControlConfig, OpenMesh } from './mesh.ts';

// istiod's word for the control plane, and its words for the types.
const COMPONENT = 'pilot';
const TYPES = [
  { type: 'wds', url: ADDRESS_TYPE },
  { type: 'wads', url: AUTHORIZATION_TYPE },
] as const;

export interface MonitoredParts {
  readonly cluster: OpenMesh;
  readonly signing: SigningServer;
  readonly authentication: Authentication;
  readonly connections: GrpcConnections;
  readonly authority: CertificateAuthority;
  /** Counters of what asks the API server; at 0 without one. */
  readonly kubernetes: Callers['counters'] & { readonly root_certificate: RootPublisher['counters'] };
  /** What must still be done before nodes are served. */
  readonly pending: ReadonlySet<string>;
}

/** Serves `/metrics` and `/healthz/ready`; resolves with the port. */
export async function openMonitoring(
  { monitoring }: ControlConfig['control'],
  log: Logger,
  parts: MonitoredParts,
  closers: Closers,
): Promise<number> {
  const clock = systemClock;
  const requests = makeHttpCounters();
  const metrics = openRegistry();
  const scrapes = new Scrapes(() => metrics.render(), clock);
  const build = { component: COMPONENT, tag: readVersion().groundwire };
  declareControlMetrics(metrics.registry, controlReader(parts, { requests, scrapes: scrapes.counters }, log), build);
  const readiness = {
    get pending() {
      return [...parts.pending];
    },
  };
  const onError = (error: unknown, request: string): void =>
    log.error('request failed', { request, error: errorTrace(error) });
  const server = makeHttpServer([...metricsRoutes(scrapes), ...readinessRoutes(readiness)], {
    guardHost: false,
    counters: requests,
    clock,
    onError,
  });
  await listenOn(server, monitoring, 'monitoring-listen');
  closers.add('monitoring', () => closeServer(server));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : monitoring.port;
}

function controlReader(
  parts: MonitoredParts,
  doors: { readonly requests: HttpCounters; readonly scrapes: Scrapes['counters'] },
  log: Logger,
): ControlReader {
  const { cluster, signing, authentication, connections, authority, kubernetes } = parts;
  return {
    clients: () => cluster.delta.clients,
    pushes: () => TYPES.map(({ type, url }) => ({ type, ...cluster.delta.typeCounters[url] })),
    services: () => cluster.publisher.services,
    objects: () => cluster.store.snapshot().counts(),
    validation: () => ({
      passed: cluster.changeLog.counters.accepted,
      failed: cluster.manifestLog.counters.refused,
    }),
    manifestProblems: () => cluster.manifestLog.standing(),
    signing: () => signing.counters,
    authenticationFailures: () => authentication.counters.refused,
    rootNotAfterMs: () => authority.notAfterMs,
    pods: () => {
      const pods = cluster.registry.pods();
      const captured = pods.filter((pod) => pod.captured).length;
      return Object.entries({ captured, uncaptured: pods.length - captured });
    },
    nodes: () => Object.entries(cluster.registry.nodes()),
    counters: () =>
      prefixed({
        ...cluster.counters,
        authentication: authentication.counters,
        ...kubernetes,
        strangers: connections.strangers,
        members: connections.members,
        ...doors,
        log: log.counters,
      }),
  };
}
