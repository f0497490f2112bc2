// SPDX-License-Identifier: Apache-2.0

// The control plane: wiring and nothing else.
//
//   manifests directory ─┐
//                        ├→ ObjectStore → compileMesh → encode → DeltaServer → nodes
//   PodRegistryServer ───┘        └→ decideCapture → PodRegistryServer → nodes
//   CertificateAuthority → SigningServer → nodes; all of it behind JoinTokens, on one port

import { hostname } from 'node:os';
import { join } from 'node:path';

import type { Config } from './config/table.ts';
import { Authentication } from './discovery/authentication.ts';
import { DeltaServer } from './discovery/delta-server.ts';
import { encodeObject } from './discovery/encode.ts';
import { GrpcServer } from './discovery/grpc-server.ts';
import { PodRegistryServer } from './discovery/pod-registry-server.ts';
import { CertificateAuthority } from './identity/certificate-authority.ts';
import { formatJoinFile, JoinTokens } from './identity/join-token.ts';
import { issueServerCertificate } from './identity/server-certificate.ts';
import { SigningServer } from './identity/signing-server.ts';
import { compileMesh } from './manifests/compile.ts';
import { DirectorySource } from './manifests/directory-source.ts';
import { DEFAULT_ENROLMENT_SETTINGS, decideCapture } from './manifests/enrolment.ts';
import { ObjectStore } from './manifests/object-store.ts';
import { DEFAULT_COMPILE_SETTINGS } from './manifests/settings.ts';
import { systemClock } from './model/clock.ts';
import { ManifestLog } from './pods/manifest-log.ts';
import { NodeRanges } from './pods/node-ranges.ts';
import { ReportedPods } from './pods/reported-pods.ts';
import type { Logger } from './telemetry/logger.ts';

export type ControlConfig = Config<'control' | 'mesh' | 'defaults'> & { readonly stateDirectory: string };

const SERVER_CERTIFICATE_MS = 7 * 24 * 3600_000;
// A node with a hundred identities that all renew at once, and room for its restarts.
const SIGNATURES_PER_MINUTE = 1200;
// A change of many objects, and the reports of many pods, are published once.
const PUBLISH_DELAY_MS = 5;

/** A control plane that runs. */
export interface Control {
  readonly port: number;
  readonly rootsPem: string;
  /** What a node needs to join: roots and a token, as in the token file. */
  makeJoinFile(node: string, ttlMs: number): string;
  close(): Promise<void>;
}

/** Opens the authority, reads the manifests and listens. Rejects with what could not be opened. */
export async function openControl(config: ControlConfig, log: Logger): Promise<Control> {
  const clock = systemClock;
  const { stateDirectory, control, mesh, defaults } = config;
  const authority = await CertificateAuthority.open({ stateDir: stateDirectory, trustDomain: mesh.trustDomain, clock });
  const tokens = JoinTokens.open(stateDirectory, clock);
  const ranges = NodeRanges.open(control.clusterCidrs, join(stateDirectory, 'nodes.json'));
  const authentication = new Authentication((token) => tokens.verify(token), log.child('authentication'));

  const store = new ObjectStore(['nodes', 'manifests']);
  const directory = new DirectorySource({ directory: control.manifests, source: 'manifests' }, store, clock);
  const delta = new DeltaServer({ clock, log: log.child('discovery') });
  let scheduled = false;
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    clock.setTimer(PUBLISH_DELAY_MS, () => {
      scheduled = false;
      publish();
    });
  };
  const registry = new PodRegistryServer({
    callerOf: (metadata) => authentication.callerOf(metadata),
    welcome: (node) => ({ trustDomain: mesh.trustDomain, clusterId: mesh.clusterId, podCidrs: ranges.rangesOf(node) }),
    onChange: schedule,
    clock,
    log: log.child('pod registry'),
  });
  const reported = new ReportedPods((pod, namespace) =>
    decideCapture(pod, namespace, {
      ...DEFAULT_ENROLMENT_SETTINGS,
      sameNodeMode: defaults.sameNodeMode,
      existingConnections: defaults.existingConnections,
    }),
  );
  const manifestLog = new ManifestLog(log.child('manifests'));
  const settings = {
    ...DEFAULT_COMPILE_SETTINGS,
    trustDomain: mesh.trustDomain,
    clusterId: mesh.clusterId,
    clusterDomain: mesh.clusterDomain,
    rootNamespace: defaults.rootNamespace,
    serviceRange: defaults.serviceCidr,
  };
  const publish = (): void => {
    const { manifests, decisions, refused, notices } = reported.update(registry.pods(), store.snapshot());
    store.replace('nodes', manifests);
    const compiled = compileMesh(store.snapshot(), settings);
    delta.publish([
      ...[...compiled.workloads.values()].map((workload) => encodeObject({ kind: 'workload', workload })),
      ...[...compiled.services.values()].map((service) => encodeObject({ kind: 'service', service })),
      ...[...compiled.authorizations.values()].map((authorization) =>
        encodeObject({ kind: 'authorization', authorization }),
      ),
    ]);
    // After publishing: a pod that leaves is dialled in plaintext before its node is told to let it go.
    for (const decision of decisions) registry.decide(decision);
    for (const { uid, reason } of refused) registry.reject(uid, reason);
    manifestLog.report(store.problems(), [...store.notices(), ...compiled.notices, ...notices]);
  };
  const signing = new SigningServer({
    authority,
    callerOf: (metadata) => authentication.callerOf(metadata),
    hasPod: (node, identity) =>
      identity.trustDomain === mesh.trustDomain &&
      (registry
        .podsOf(node)
        .some((pod) => pod.namespace === identity.namespace && pod.serviceAccount === identity.serviceAccount) ||
        store
          .snapshot()
          .of('Pod')
          .some(
            (pod) =>
              pod.nodeName === node &&
              pod.meta.namespace === identity.namespace &&
              pod.serviceAccount === identity.serviceAccount,
          )),
    lifetimeMs: mesh.certificateTtlMs,
    lifetimeMaxMs: mesh.certificateTtlMs,
    requestsPerMinute: SIGNATURES_PER_MINUTE,
    clock,
    log: log.child('signing'),
  });

  await directory.open();
  publish();
  store.watch(schedule);
  const { host, port } = control.listen;
  const names = [
    ...new Set([
      ...control.serverNames,
      hostname(),
      'localhost',
      '127.0.0.1',
      '::1',
      ...(isWildcard(host) ? [] : [host]),
    ]),
  ];
  const server = await GrpcServer.open({
    address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    services: [delta, registry, signing],
    interceptors: [authentication.interceptor],
    issueCertificate: () => issueServerCertificate(authority, names, SERVER_CERTIFICATE_MS),
    clock,
    log: log.child('server'),
  });
  log.info('control plane serves', {
    address: `${host}:${server.port}`,
    manifests: control.manifests,
    trust_domain: mesh.trustDomain,
  });
  return {
    port: server.port,
    rootsPem: authority.rootsPem,
    makeJoinFile: (node, ttlMs) => formatJoinFile(authority.rootsPem, tokens.make(node, ttlMs)),
    close: async () => {
      directory.close();
      registry.close();
      delta.close();
      server.close();
    },
  };
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
