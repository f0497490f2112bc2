// SPDX-License-Identifier: Apache-2.0

// The agent of a node: wiring and nothing else.
//
//   DeltaClient ─→ MeshStore ─→ Decider ⇄ EngineDialogue ⇄ engine ─→ access log, metrics
//        │ ↑ ConfigCache             ↑ LocalPodDirectory
//   PodRegistryClient ⇄ PodManager ──┘─→ CaptureSteps ─→ engine
//   SigningClient ← CertificateManager ─→ EngineIdentities ─→ engine
//   API: 127.0.0.1:15000 and agent.sock · readiness 15021 · metrics 15020

import { readFileSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminRoutes } from './api/admin.ts';
import { AgentFactsReader } from './api/agent-facts.ts';
import type { UpstreamFacts } from './api/facts.ts';
import { closeServer, type HttpCounters, type HttpRoute, listenOn, makeHttpServer } from './api/http.ts';
import { globalAddresses, NodeFactsReader } from './api/node-facts.ts';
import { podRoutes } from './api/pods.ts';
import { metricsRoutes, readinessRoutes } from './api/readiness.ts';
import { describeConfig } from './config/render.ts';
import type { Config } from './config/table.ts';
import { readVersion } from './config/version.ts';
import { ConfigCache } from './discovery/config-cache.ts';
import { ControlPlane } from './discovery/control-plane.ts';
import { DeltaClient, type DeltaUpdate } from './discovery/delta-client.ts';
import { PodRegistryClient } from './discovery/pod-registry-client.ts';
import type { ReportedPod } from './discovery/pod-report.ts';
import { ADDRESS_TYPE } from './discovery/resource.ts';
import type { EngineOptions, EnginePort } from './engine/port.ts';
import { CertificateManager } from './identity/certificate-manager.ts';
import { parseJoinFile } from './identity/join-token.ts';
import { SigningClient } from './identity/signing-client.ts';
import { Decider, deciderOptions } from './mesh/decider.ts';
import { type MeshDelta, MeshStore } from './mesh/store.ts';
import { VerdictLedger } from './mesh/verdicts.ts';
import { NETWORK } from './mesh/view.ts';
import { systemClock } from './model/clock.ts';
import { AddressPool } from './pods/address-pool.ts';
import { CaptureSteps } from './pods/capture-steps.ts';
import { readDnsQuestion } from './pods/dns-question.ts';
import { EngineDialogue } from './pods/engine-dialogue.ts';
import { EngineIdentities } from './pods/engine-identities.ts';
import { engineOptions } from './pods/engine-options.ts';
import { NodeHome } from './pods/node-home.ts';
import { closeForwarding, openForwarding } from './pods/node-network.ts';
import { type PodRecord, podIdentity } from './pods/pod.ts';
import { PodCaptures } from './pods/pod-captures.ts';
import { LocalPodDirectory, workloadUidOf } from './pods/pod-directory.ts';
import { PodFiles } from './pods/pod-files.ts';
import { PodManager } from './pods/pod-manager.ts';
import { recoverPods } from './pods/recover.ts';
import { CLUSTER_DNS_DEFAULT, findResolvers } from './pods/resolvers.ts';
import { logConnection } from './telemetry/access-log.ts';
import { FlowLabelTable } from './telemetry/flow-labels.ts';
import type { Logger } from './telemetry/logger.ts';
import { Metrics } from './telemetry/metrics.ts';
import { openRegistry } from './telemetry/registry.ts';

export type AgentConfig = Config<'node' | 'upstream' | 'engine' | 'pods' | 'mesh' | 'api' | 'log'>;

export type OpenEngine = (options: EngineOptions) => EnginePort;

/** An agent that runs. */
export interface Agent {
  readonly socket: string;
  /** Asks live connections to end, then leaves the node: with its pods captured as they are, or, without any, empty. */
  close(): Promise<void>;
}

const LABEL_SWEEP_MS = 60_000;
const DRAIN_POLL_MS = 50;

/** Takes the node, opens the engine, and joins the control plane. Rejects with what failed, and then nothing is left. */
export async function openAgent(config: AgentConfig, log: Logger, openEngine: OpenEngine): Promise<Agent> {
  const home = await NodeHome.open({
    node: config.node.name,
    runDirectory: config.node.runDirectory,
    bpffs: config.engine.bpffs,
    cgroupRoot: config.engine.cgroupRoot,
  });
  const closers: (() => Promise<void> | void)[] = [];
  try {
    return await openParts(config, log, openEngine, home, closers);
  } catch (error) {
    for (const close of closers.toReversed()) await close();
    await home.close(await home.hasPods());
    throw error;
  }
}

async function openParts(
  config: AgentConfig,
  log: Logger,
  openEngine: OpenEngine,
  home: NodeHome,
  closers: (() => Promise<void> | void)[],
): Promise<Agent> {
  const clock = systemClock;
  const startedMs = clock.nowMs();
  const node = config.node.name;
  const { trustDomain, clusterId, clusterDomain } = config.mesh;
  const resolvers = config.engine.resolvers.length > 0 ? config.engine.resolvers : await findResolvers();
  const joinFile = (): ReturnType<typeof parseJoinFile> =>
    parseJoinFile(readFileSync(config.upstream.tokenFile, 'utf8'));
  const controlPlane = new ControlPlane({
    address: formatHostPort(config.upstream.control),
    ...(config.upstream.serverName !== undefined && { serverName: config.upstream.serverName }),
    readRootsPem: () => readRoots(config, joinFile().rootsPem),
    readToken: () => joinFile().token,
    clusterId,
  });
  // A token file that cannot be used is told now, with its name, and not at the first connection.
  controlPlane.dial();
  await openForwarding(home.sysctlMemory, log.child('pods'));
  closers.push(async () => {
    if (!(await home.hasPods())) await closeForwarding(home.sysctlMemory);
  });

  const files = new PodFiles(home.podsDirectory, log.child('pods'));
  const addresses = config.node.addresses.length > 0 ? config.node.addresses : globalAddresses();
  const recovered = await recoverPods({ node, podsCgroup: home.podsCgroup }, files, log.child('pods'));
  const nodeFacts = await NodeFactsReader.open(node, addresses);

  // From here to the subscription nothing awaits: what the engine says in its first turn must find its listener.
  const engine = openEngine(engineOptions(config.engine, trustDomain, home, resolvers));
  closers.push(() => engine.close());
  const mesh = new MeshStore();
  const directory = new LocalPodDirectory();
  const labels = new FlowLabelTable();
  const ledger = new VerdictLedger();
  const decider = new Decider(
    { view: mesh, pods: directory, labels, ledger, nowMs: () => clock.nowMs() },
    deciderOptions(config.engine.verdictTimeoutMs),
  );
  const captures = new PodCaptures(engine, clock);
  const identities = new EngineIdentities(engine, log.child('identity'));
  const metricsRegistry = openRegistry();
  let eventsDropped = 0;
  const httpCounters: HttpCounters = { served: 0, refused: 0, failed: 0 };
  const metrics = new Metrics(
    metricsRegistry.registry,
    labels,
    {
      flows: () => engine.readSnapshot(['flows']).flows,
      counters: () => engine.readSnapshot(['counters']).counters,
      certificates: () =>
        certificates
          .status()
          .flatMap((one) =>
            one.certChain[0] === undefined
              ? []
              : [{ identity: one.identity, notAfterMs: Date.parse(one.certChain[0].expirationTime) }],
          ),
      fills: () => [
        { name: 'verdicts', size: ledger.size, max: ledger.max, droppedTotal: ledger.evictedTotal },
        { name: 'flow_labels', size: labels.size, max: labels.max, droppedTotal: labels.overflowTotal },
        { name: 'engine_events', size: 0, max: 0, droppedTotal: eventsDropped },
        { name: 'log_lines', size: 0, max: 0, droppedTotal: log.counters.dropped + log.counters.failed },
      ],
      resources: () => [
        { kind: 'workload', count: mesh.workloads.size, rejectedTotal: 0 },
        { kind: 'service', count: mesh.services.size, rejectedTotal: 0 },
        { kind: 'policy', count: mesh.policies.size, rejectedTotal: 0 },
        {
          kind: 'any',
          count: mesh.workloads.size + mesh.services.size + mesh.policies.size,
          rejectedTotal: mesh.rejectedTotal + xds.counters.rejectedResources,
        },
      ],
      verdictsInvalidatedTotal: () => ledger.invalidatedTotal,
      agentCounters: () =>
        prefixed({
          recalls: dialogue.recall.counters,
          certificates: certificates.counters,
          discovery: xds.counters,
          registry: registry.counters,
          cache: cache.counters,
          pods: pods.counters,
          requests: httpCounters,
        }),
      pods: () => countBy(pods.list(), (pod) => pod.state.kind),
    },
    { component: 'groundwire', tag: readVersion().groundwire },
  );
  const dialogue = new EngineDialogue({
    engine,
    decider,
    view: mesh,
    directory,
    labels,
    counts: {
      countDecision: (direction, code) => metrics.countDecision(direction, code),
      countDryRunMatches: (matches) => metrics.countDryRunMatches(matches),
      countDns: (client, { transport, message }, outcome) => {
        if (outcome === 'drop') metrics.countDnsMalformed();
        else
          metrics.countDnsRequest(
            {
              request_query_type: readDnsQuestion(message)?.type ?? 'unknown',
              request_protocol: transport,
              source_canonical_service: client?.canonicalName ?? 'unknown',
              source_canonical_revision: client?.canonicalRevision ?? 'unknown',
            },
            outcome === 'forward',
          );
      },
    },
    clock,
    log: log.child('decisions'),
    clusterDomain,
    ownsClusterDomain: config.pods.ownsClusterDomain,
    random: Math.random,
  });
  closers.push(() => dialogue.close());
  const accessLog = {
    log: log.child('access'),
    labels,
    findWorkload: (address: string) => mesh.findWorkloadByAddress(NETWORK, address),
    findPolicy: (verdict: bigint) => decider.findPolicy(verdict),
  };
  engine.onEvents((events, dropped) => {
    eventsDropped += dropped;
    dialogue.onEvents(events);
    for (const event of events) {
      captures.onEvent(event);
      if (event.kind === 'ConnectionClosed' && config.log.access) logConnection(accessLog, event);
    }
  });

  const signing = new SigningClient(controlPlane);
  const certificates = new CertificateManager({
    sign: (identity, csr, lifetimeSeconds) => signing.sign(identity, csr, lifetimeSeconds),
    sink: identities,
    clock,
    log: log.child('certificates'),
    lifetimeSeconds: config.mesh.certificateTtlMs / 1000,
  });
  closers.push(() => {
    certificates.close();
    signing.close();
  });

  const cache = new ConfigCache({
    path: join(config.node.stateDirectory, node, 'config.cache'),
    clock,
    log: log.child('cache'),
  });
  const xds = new DeltaClient({
    controlPlane,
    clusterId,
    node: {
      node,
      address: addresses[0] ?? '127.0.0.1',
      podName: `groundwire-${node}`,
      podNamespace: 'groundwire-system',
    },
    sink: (update) => mesh.apply(toMeshDelta(update)).rejected,
    store: {
      record: (type, accepted, removals) => {
        metrics.countXdsMessage(
          type,
          accepted.reduce((sum, resource) => sum + resource.bytes.length, 0),
        );
        cache.record(type, accepted, removals);
      },
    },
    onEnded: (code) => metrics.countXdsTermination(code),
    clock,
    log: log.child('discovery'),
  });
  closers.push(async () => {
    xds.close();
    await cache.close();
  });

  const pool = Promise.withResolvers<AddressPool>();
  if (config.pods.cidrs.length > 0) pool.resolve(new AddressPool(config.pods.cidrs));
  const registry = new PodRegistryClient({
    controlPlane,
    node,
    addresses,
    snapshot: () => pods.list().map((pod) => toReport(pod, pod.state.kind === 'captured')),
    onWelcome: (welcome) => {
      if (welcome.trustDomain !== trustDomain)
        log.error('the control plane has another trust domain', {
          theirs: welcome.trustDomain,
          ours: trustDomain,
          hint: 'set --trust-domain to the same value on both',
        });
      pool.resolve(new AddressPool(welcome.podCidrs));
    },
    onDecision: ({ uid, ...decision }) => {
      pods.decide(uid, decision);
      // The control plane knows the pod now, and so will sign for its identity.
      const pod = pods.find(uid);
      if (pod !== undefined) certificates.hurry(podIdentity(trustDomain, pod.spec));
    },
    onRejected: (uid, reason) => pods.reject(uid, reason),
    clock,
    log: log.child('pod registry'),
  });
  closers.push(() => registry.close());
  const steps = new CaptureSteps(
    {
      drainDeadlineMs: config.engine.drainDeadlineMs,
      releaseGraceMs: config.pods.releaseGraceMs,
      releaseWaitMs: config.pods.releaseWaitMs,
    },
    {
      captures,
      certificates,
      identities,
      clock,
      trustDomain: () => trustDomain,
      reportCaptured: (uid, captured) => registry.captured(uid, captured),
      findTunnelProtocol: (pod) => mesh.findWorkload(workloadUidOf(clusterId, pod.spec))?.tunnelProtocol,
    },
  );
  const nameservers =
    config.pods.clusterDns.length > 0
      ? config.pods.clusterDns
      : resolvers.length > 0
        ? resolvers
        : [CLUSTER_DNS_DEFAULT];
  const pods: PodManager = new PodManager(
    {
      host: { node, podsCgroup: home.podsCgroup, mtu: config.pods.mtu, nameservers, clusterDomain },
      decisionTimeoutMs: config.pods.decisionTimeoutMs,
      captureTimeoutMs: config.pods.captureTimeoutMs,
    },
    {
      files,
      steps,
      reporter: { started: (pod) => registry.started(toReport(pod, false)), stopped: (uid) => registry.stopped(uid) },
      clock,
      log: log.child('pods'),
      pool: pool.promise,
      podsChanged: () => dialogue.onChange(directory.update(clusterId, pods.list())),
    },
  );
  closers.push(() => pods.close());
  mesh.watch(({ keys }) => {
    dialogue.onChange(keys);
    pods.onMeshChanged();
  });

  const restored = await cache.load();
  xds.restore(restored);
  pods.open(recovered);
  xds.open();
  if (config.upstream.podRegistry) registry.open();

  let everSynced = false;
  const pending = (): readonly string[] => {
    everSynced ||= xds.status().synced;
    return [
      ...(everSynced || restored.length > 0 ? [] : ['state manager']),
      ...(pods.list().some((pod) => pod.state.kind === 'starting' || pod.state.kind === 'capturing')
        ? ['workload proxy manager']
        : []),
    ];
  };
  const facts = new AgentFactsReader({
    engine,
    mesh,
    localPods: directory,
    listPods: () => pods.list(),
    listCertificates: () => certificates.status(),
    readNode: () => nodeFacts.read(),
    upstream: (): UpstreamFacts => {
      const { state, synced, lastError } = xds.status();
      everSynced ||= synced;
      return {
        address: formatHostPort(config.upstream.control),
        state: synced ? 'connected' : state === 'open' ? 'connecting' : 'disconnected',
        ...(lastError !== '' && { problem: lastError }),
        fromCache: !everSynced && restored.length > 0,
      };
    },
    pending,
    findPolicy: (verdict) => decider.findPolicy(verdict),
    identity: () => ({ trustDomain, clusterId }),
    version: readVersion(),
    config: describeConfig(config),
    startedMs,
  });
  const onError = (error: unknown, request = ''): void =>
    log.error('request failed', {
      request,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  const admin = adminRoutes(facts, log);
  const listen = async (
    routes: readonly HttpRoute[],
    where: { host: string; port: number } | { path: string },
    guardHost: boolean,
  ): Promise<void> => {
    const server = await listenOn(makeHttpServer(routes, { guardHost, counters: httpCounters, onError }), where);
    closers.push(() => closeServer(server));
  };
  // A socket of an agent that was killed stays; the lock says that nobody serves it.
  await rm(home.socket, { force: true });
  await listen([...podRoutes(pods, onError), ...admin], { path: home.socket }, false);
  await chmod(home.socket, 0o600);
  await listen(admin, config.api.admin, true);
  await listen(
    readinessRoutes({
      get pending() {
        return pending();
      },
    }),
    config.api.ready,
    false,
  );
  await listen(
    metricsRoutes(() => metricsRegistry.render()),
    config.api.metrics,
    false,
  );
  const sweep = setInterval(
    () => labels.sweep(mesh.workloads.values(), mesh.services.values(), clock.nowMs()),
    LABEL_SWEEP_MS,
  );
  closers.push(() => clearInterval(sweep));
  log.info('configuration in effect', describeConfig(config));
  log.info('agent serves', { node, socket: home.socket, control: formatHostPort(config.upstream.control) });

  return {
    socket: home.socket,
    close: async () => {
      if (!config.pods.keepOnExit) await pods.removeAll();
      pods.close();
      await drain(engine, config.engine.drainDeadlineMs);
      for (const close of closers.toReversed()) await close();
      await home.close(pods.list().length > 0);
    },
  };
}

function readRoots(config: AgentConfig, fromTokenFile: string | undefined): string {
  const { rootCertificateFile, tokenFile } = config.upstream;
  if (rootCertificateFile !== undefined) return readFileSync(rootCertificateFile, 'utf8');
  if (fromTokenFile !== undefined) return fromTokenFile;
  throw new Error(`${tokenFile} holds no root certificate; name the control plane's with --root-cert`);
}

function toMeshDelta({ type, upserts, removals }: DeltaUpdate): MeshDelta {
  return {
    workloads: upserts.flatMap((one) => (one.kind === 'workload' ? [one.workload] : [])),
    services: upserts.flatMap((one) => (one.kind === 'service' ? [one.service] : [])),
    policies: upserts.flatMap((one) => (one.kind === 'authorization' ? [one.authorization] : [])),
    [type === ADDRESS_TYPE ? 'removedAddresses' : 'removedPolicies']: removals,
  };
}

function toReport({ uid, spec, sandbox }: PodRecord, captured: boolean): ReportedPod {
  const { name, namespace, serviceAccount, labels, annotations } = spec;
  const containerPorts = Object.entries(spec.ports).map(([portName, port]) => ({ name: portName, port }));
  return {
    uid,
    name,
    namespace,
    serviceAccount,
    labels,
    annotations,
    ips: sandbox.addresses,
    containerPorts,
    captured,
  };
}

/** No new connections; waits until the live ones have ended or the deadline is over. */
async function drain(engine: EnginePort, deadlineMs: number): Promise<void> {
  await engine.apply([{ kind: 'Drain', deadlineMs }]);
  const endMs = performance.now() + deadlineMs;
  while (engine.readSnapshot(['connections']).connections.length > 0 && performance.now() < endMs)
    await sleep(DRAIN_POLL_MS);
}

function formatHostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Counters of parts, each name with its part in front. */
function* prefixed(parts: Readonly<Record<string, object>>): Iterable<readonly [string, number]> {
  for (const [part, counters] of Object.entries(parts)) {
    for (const [name, value] of Object.entries(counters)) yield [`${part}_${name}`, value as number];
  }
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}
