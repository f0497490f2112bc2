// SPDX-License-Identifier: Apache-2.0

// The control plane: wiring and nothing else; that of the mesh and of its monitoring is in control/.
//
//   KeptState ───────────┐ (what was in force before a restart)
//   manifests directory ─┼→ ObjectStore → compileMesh → encode → DeltaServer → nodes
//   PodRegistryServer ───┘        └→ decideCapture → PodRegistryServer → nodes
//   CertificateAuthority → SigningServer → nodes; all of it behind JoinTokens, on one port
//   metrics and readiness of all of these on another

import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { KeptState } from './cluster/kept-state.ts';
import { runsOnNode } from './cluster/node-identities.ts';
import { makeNamedDirectory, writingState } from './config/paths.ts';
import { openAuthority, type SharedRoot } from './control/authority.ts';
import { openCallers } from './control/callers.ts';
import { type ControlConfig, type OpenMesh, openMesh } from './control/mesh.ts';
import { openMonitoring } from './control/monitoring.ts';
import { openApiClient, requireSource } from './control/source.ts';
import { Authentication } from './discovery/authentication.ts';
import { GrpcConnections } from './discovery/grpc-connections.ts';
import { GrpcServer } from './discovery/grpc-server.ts';
import { takeLock } from './host/process-lock.ts';
import type { CertificateAuthority } from './identity/certificate-authority.ts';
import { formatJoinFile, JoinTokens } from './identity/join-token.ts';
import { issueServerCertificate } from './identity/server-certificate.ts';
import { SigningServer } from './identity/signing-server.ts';
import { RootPublisher } from './kubernetes/root-publisher.ts';
import { formatSocketAddress } from './model/address.ts';
import { systemClock } from './model/clock.ts';
import { Closers } from './model/closers.ts';
import type { Logger } from './telemetry/logger.ts';

const SERVER_CERTIFICATE_MS = 7 * 24 * 3600_000;
// A node with a hundred identities that all renew at once, and room for its restarts.
const SIGNATURES_PER_MINUTE = 1200;

/** A control plane that runs. */
export interface Control {
  readonly port: number;
  readonly monitoringPort: number;
  readonly rootsPem: string;
  /** What a node needs to join: roots and a token, as in the token file. */
  makeJoinFile(node: string, ttlMs: number): string;
  close(): Promise<void>;
}

/**
 * Takes the state directory, opens the authority, restores and reads what is to be in force, and listens.
 *
 * Rejects with what could not be opened, or when `signal` is aborted meanwhile. Without manifests to start from nothing has
 * been made on disk then.
 */
export async function openControl(config: ControlConfig, log: Logger, signal?: AbortSignal): Promise<Control> {
  const kept = new KeptState(config.stateDirectory, log.child('state'));
  await requireSource(config.source, kept, log, signal);
  const closers = new Closers(log);
  try {
    await takeStateDirectory(config.stateDirectory, closers);
    closers.add('state', () => kept.close());
    return await openParts(config, log, kept, closers, signal);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

/** Two control planes that write one state directory would undo each other's, and each would restart as the other. */
async function takeStateDirectory(directory: string, closers: Closers): Promise<void> {
  const lock = join(directory, 'control.lock');
  makeNamedDirectory('state-dir', directory, directory, 0o700);
  const refusal = (holder: number): string =>
    `the state directory ${directory} is in use by another control plane, process ${holder} (${lock}); stop that one, or give this one another --state-dir`;
  await writingState(directory, () => takeLock(lock, refusal));
  closers.add('state directory', () => rm(lock, { force: true }));
}

async function openParts(
  config: ControlConfig,
  log: Logger,
  kept: KeptState,
  closers: Closers,
  signal?: AbortSignal,
): Promise<Control> {
  const { stateDirectory, control, mesh } = config;
  const clock = systemClock;
  const { trustDomain } = mesh;
  const { source } = config;
  const client = await openApiClient(source);
  closers.add('API client', () => client?.close());
  const shared =
    source.kind === 'kubernetes' && client !== undefined ? { client, namespace: source.namespace } : undefined;
  const [authority, tokens] = await writingState(stateDirectory, async () => [
    await openAuthority({ stateDir: stateDirectory, trustDomain, clock }, shared),
    JoinTokens.open(stateDirectory, clock),
  ]);
  const root = shared && openRootPublisher(shared, authority.rootsPem, log, closers);
  const callers = openCallers(source, client, tokens, clock);
  const authentication = new Authentication(callers.verify, clock, log.child('authentication'));
  // The server closes after the mesh that it serves: nodes that go then are not told of as lost.
  const opened: { server?: GrpcServer } = {};
  closers.add('server', () => opened.server?.close());
  const cluster = openMesh(config, kept, { authentication, tokens }, client, log);
  closers.add('mesh', () => cluster.close());
  const signing = openSigning(config, authority, authentication, cluster, log);
  const connections = new GrpcConnections(clock, log.child('server'));
  const pending = new Set(['manifests', 'server']);
  const kubernetes = { ...callers.counters, root_certificate: root?.counters ?? { written: 0, failures: 0 } };
  const parts = { cluster, signing, authentication, connections, authority, kubernetes, pending };
  const monitoringPort = await openMonitoring(control, log.child('monitoring'), parts, closers);
  await cluster.start(signal);
  pending.delete('manifests');
  opened.server = await GrpcServer.open({
    listen: control.listen,
    // With Kubernetes it is the API server that knows which pods a node has, and nobody else's word counts.
    services: client === undefined ? [cluster.delta, cluster.registry, signing] : [cluster.delta, signing],
    authentication,
    connections,
    issueCertificate: () => issueServerCertificate(authority, serverNames(control), SERVER_CERTIFICATE_MS),
    clock,
    log: log.child('server'),
  });
  pending.delete('server');
  const { port } = opened.server;
  log.info('control plane serves', {
    address: formatEndpoint({ ...control.listen, port }),
    monitoring: formatEndpoint({ ...control.monitoring, port: monitoringPort }),
    source: source.kind === 'directory' ? source.manifests : 'the API server of Kubernetes',
    trust_domain: trustDomain,
  });
  return {
    port,
    monitoringPort,
    rootsPem: authority.rootsPem,
    makeJoinFile: (node, ttlMs) => formatJoinFile(authority.rootsPem, tokens.make(node, ttlMs)),
    close: () => closers.close(),
  };
}

function openRootPublisher(
  { client, namespace }: SharedRoot,
  rootsPem: string,
  log: Logger,
  closers: Closers,
): RootPublisher {
  const publisher = new RootPublisher(client, { namespace, rootsPem }, systemClock, log.child('root certificate'));
  publisher.open();
  closers.add('root certificate', () => publisher.close());
  return publisher;
}

function openSigning(
  { mesh }: ControlConfig,
  authority: CertificateAuthority,
  authentication: Authentication,
  { registry, store }: OpenMesh,
  log: Logger,
): SigningServer {
  return new SigningServer({
    authority,
    callerOf: (metadata) => authentication.callerOf(metadata),
    hasPod: (node, identity) =>
      identity.trustDomain === mesh.trustDomain &&
      runsOnNode(identity, node, registry.podsOf(node), store.snapshot().of('Pod')),
    lifetimeMs: mesh.certificateTtlMs,
    lifetimeMaxMs: mesh.certificateTtlMs,
    requestsPerMinute: SIGNATURES_PER_MINUTE,
    clock: systemClock,
    log: log.child('signing'),
  });
}

function serverNames({ listen, serverNames: further }: ControlConfig['control']): string[] {
  const isWildcard = listen.host === '0.0.0.0' || listen.host === '::';
  const own = isWildcard ? [] : [listen.host];
  return [...new Set([...further, hostname(), 'localhost', '127.0.0.1', '::1', ...own])];
}

function formatEndpoint({ host, port }: ControlConfig['control']['listen']): string {
  return formatSocketAddress({ address: host, port });
}
