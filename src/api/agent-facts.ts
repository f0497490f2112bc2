// SPDX-License-Identifier: Apache-2.0

import type { VersionFacts } from '../config/version.ts';
import type { EnginePort, EngineSnapshot } from '../engine/port.ts';
import type { CertificateStatus } from '../identity/certificate-manager.ts';
import type { LocalPods } from '../mesh/resolve-outbound.ts';
import type { MeshView } from '../mesh/view.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Connection, Tunnel } from '../model/messages.gen.ts';
import type { RejectedResource } from '../model/rejected-resource.ts';
import type { UnenrolledPod, UnenrolledReason } from '../pods/kubernetes-pods.ts';
import type { PodView } from '../pods/pod.ts';
import { formatDecision } from './explain.ts';
import type {
  AgentFacts,
  ConnectionFacts,
  ExplainAnswer,
  ExplainQuestion,
  MeshContents,
  NodeFacts,
  PodFacts,
  StatusFacts,
  TunnelFacts,
  UpstreamFacts,
} from './facts.ts';

/** The parts of the agent that have something to tell; each gives only that. */
export interface AgentFactsParts {
  readonly engine: Pick<EnginePort, 'readSnapshot'>;
  readonly mesh: MeshContents & MeshView;
  readonly localPods: LocalPods;
  readonly listPods: () => readonly PodView[];
  readonly listCertificates: () => readonly CertificateStatus[];
  readonly readNode: () => NodeFacts;
  readonly upstream: () => UpstreamFacts;
  readonly pending: () => readonly string[];
  /** Resources of the control plane that were not taken since the start. */
  readonly rejectedTotal: () => number;
  /** What is wrong with the token of this node's calls. */
  readonly tokenProblem: () => string | undefined;
  /** Answers that no longer hold and that the engine has not given back. */
  readonly recallsOwed: () => number;
  /** Why no pod can be remembered on disk, and so none started. */
  readonly podFilesProblem: () => string | undefined;
  /** What somebody has undone of the capture of pods. */
  readonly captureProblems: () => readonly string[];
  /** What the control plane could not read, or took in vain, and names that cannot be resolved. */
  readonly meshProblems: () => readonly string[];
  /** Pods that belong to the mesh and are not in it. */
  readonly unenrolled: () => readonly UnenrolledPod[];
  readonly findPolicy: (verdict: bigint) => string | undefined;
  readonly identity: () => { readonly trustDomain: string; readonly clusterId: string };
  readonly version: VersionFacts;
  readonly config: Readonly<Record<string, string>>;
  readonly startedMs: number;
}

// A status page lists old connections to be looked at, not to be copied.
const OLD_CONNECTIONS_SHOWN = 100;
const REJECTED_SHOWN = 20;
const ADDRESSES_SHOWN = 4;

const UNENROLLED_WORDS: Readonly<Record<UnenrolledReason, string>> = {
  no_address: 'it has no address yet',
  no_sandbox: 'no process of it is found on this node; the agent needs hostPID',
  foreign_address: 'its network namespace does not have the address that the API server knows',
  unreadable: 'its network namespace cannot be looked at',
};

/** Gathers what the API tells from the parts that know it, at the moment of the question. */
export class AgentFactsReader implements AgentFacts {
  readonly mesh: MeshContents;
  readonly #parts: AgentFactsParts;

  constructor(parts: AgentFactsParts) {
    this.#parts = parts;
    this.mesh = parts.mesh;
  }

  async status(): Promise<StatusFacts> {
    const parts = this.#parts;
    const snapshot = parts.engine.readSnapshot(['connections', 'tunnels', 'counters']);
    const views = parts.listPods();
    const pods = this.#factsOf(views);
    const byHandle = podsByHandle(views);
    const pending = parts.pending();
    const controlPlane = parts.upstream();
    const counters = Object.fromEntries(snapshot.counters.map((one) => [one.name, Number(one.value)]));
    return {
      node: parts.readNode(),
      version: parts.version,
      startedTime: new Date(parts.startedMs).toISOString(),
      ready: pending.length === 0,
      pending,
      controlPlane,
      mesh: {
        ...parts.identity(),
        workloads: parts.mesh.workloads.size,
        services: parts.mesh.services.size,
        policies: parts.mesh.policies.size,
        rejectedTotal: parts.rejectedTotal(),
      },
      pods,
      tunnels: snapshot.tunnels.map((tunnel) => tunnelFacts(tunnel, byHandle.get(tunnel.pod))),
      connections: snapshot.connections.length,
      counters,
      problems: this.#problems(pods, controlPlane),
    };
  }

  certificates(): readonly CertificateStatus[] {
    return this.#parts.listCertificates();
  }

  pods(): readonly PodFacts[] {
    return this.#factsOf(this.#parts.listPods());
  }

  connections(): readonly ConnectionFacts[] {
    const snapshot: EngineSnapshot = this.#parts.engine.readSnapshot(['connections']);
    const pods = podsByHandle(this.#parts.listPods());
    return snapshot.connections.map((one) => this.#connection(one, pods.get(one.pod)));
  }

  version(): VersionFacts {
    return this.#parts.version;
  }

  config(): Readonly<Record<string, string>> {
    return this.#parts.config;
  }

  explain(question: ExplainQuestion): ExplainAnswer {
    return formatDecision(this.#parts.mesh, this.#parts.localPods, question);
  }

  #factsOf(pods: readonly PodView[]): readonly PodFacts[] {
    const { trustDomain } = this.#parts.identity();
    return pods.map((pod) => podFacts(pod, trustDomain));
  }

  #connection(one: Connection, pod: PodView | undefined): ConnectionFacts {
    const policy = this.#parts.findPolicy(one.verdict);
    return {
      id: one.id.toString(),
      podUid: pod?.uid ?? '',
      pod: pod === undefined ? '' : `${pod.spec.namespace}/${pod.spec.name}`,
      direction: one.direction,
      hop: one.hop,
      security: one.security,
      source: formatSocketAddress(one.source),
      originalDst: formatSocketAddress(one.originalDst),
      nextHop: formatSocketAddress(one.nextHop),
      sourceIdentity: one.sourceIdentity,
      destinationIdentity: one.destinationIdentity,
      ...(policy !== undefined && { policy }),
      bytesSent: Number(one.bytesSent),
      bytesReceived: Number(one.bytesReceived),
      startedTime: new Date(Number(one.startedMs)).toISOString(),
    };
  }

  #problems(pods: readonly PodFacts[], upstream: UpstreamFacts): readonly string[] {
    const problems: string[] = [];
    if (upstream.state !== 'connected')
      problems.push(
        `the control plane ${upstream.address} is not connected${upstream.problem === undefined ? '' : `: ${upstream.problem}`}; what was received last stays in force`,
      );
    const token = this.#parts.tokenProblem();
    if (token !== undefined) problems.push(token);
    const owed = this.#parts.recallsOwed();
    if (owed > 0) problems.push(`${owed} decisions no longer hold and the engine has not taken them back; tried again`);
    const podFiles = this.#parts.podFilesProblem();
    if (podFiles !== undefined) problems.push(`no pod can be started: ${podFiles}`);
    problems.push(
      ...this.#parts.captureProblems(),
      ...this.#parts.meshProblems(),
      ...rejectedProblems(this.#parts.mesh),
    );
    for (const { name, reason } of this.#parts.unenrolled())
      problems.push(`pod ${name} belongs to the mesh and is not in it: ${UNENROLLED_WORDS[reason]}`);
    for (const pod of pods) {
      if (pod.problem !== undefined) problems.push(`pod ${pod.namespace}/${pod.name}: ${pod.problem}`);
      const { count, closed } = pod.oldConnections;
      if (count > 0 && !closed)
        problems.push(
          `pod ${pod.namespace}/${pod.name}: ${count} connections are older than its capture, no policy holds for them`,
        );
    }
    for (const one of this.certificates())
      if (one.error !== undefined) problems.push(`certificate of ${one.identity}: ${one.error}`);
    return problems;
  }
}

function rejectedProblems(mesh: MeshContents): readonly string[] {
  const rejected = [...mesh.rejected.values()];
  const problems = rejected
    .slice(0, REJECTED_SHOWN)
    .map((one) => `${one.kind} ${one.name} was rejected: ${one.reason}; ${effectOf(one, mesh)}`);
  const more = rejected.length - problems.length;
  return more > 0 ? [...problems, `${more} more resources were rejected; the log names them`] : problems;
}

function effectOf({ kind, name, addresses, scope }: RejectedResource, mesh: MeshContents): string {
  const known = { workload: mesh.workloads, service: mesh.services, policy: mesh.policies }[kind];
  if (known.has(name)) return 'its last good form stays in force';
  if (kind === 'policy') {
    if (scope === undefined) return 'a workload that names it lets nobody in';
    return scope === '' ? 'no workload lets anybody in' : `workloads of namespace ${scope} let nobody in`;
  }
  const shown = addresses
    .slice(0, ADDRESSES_SHOWN)
    .map(({ address, prefixLength }) => formatRange(address, prefixLength));
  if (shown.length === 0) return 'nothing of it is known';
  return `connections to ${shown.join(', ')}${addresses.length > shown.length ? ' and more' : ''} are refused`;
}

function formatRange(address: string, prefixLength: number | undefined): string {
  return prefixLength === undefined ? address : `${address}/${prefixLength}`;
}

function podsByHandle(pods: readonly PodView[]): ReadonlyMap<number, PodView> {
  return new Map(pods.map((pod) => [pod.handle, pod]));
}

function tunnelFacts(one: Tunnel, pod: PodView | undefined): TunnelFacts {
  return {
    pod: pod === undefined ? '' : `${pod.spec.namespace}/${pod.spec.name}`,
    direction: one.direction,
    local: one.local,
    peer: one.peer,
    remote: formatSocketAddress(one.remote),
    streams: one.streams,
    streamsTotal: Number(one.streamsTotal),
    establishedTime: new Date(Number(one.establishedMs)).toISOString(),
    expirationTime: new Date(Number(one.notAfterMs)).toISOString(),
    draining: one.draining,
  };
}

function podFacts(pod: PodView, trustDomain: string): PodFacts {
  const { spec, sandbox, state, oldConnections } = pod;
  return {
    uid: pod.uid,
    name: spec.name,
    namespace: spec.namespace,
    serviceAccount: spec.serviceAccount,
    trustDomain,
    addresses: sandbox.addresses,
    state: state.kind,
    reason: pod.decision?.reason ?? 'the control plane has not decided yet',
    ...(pod.problem !== undefined && { problem: pod.problem }),
    deferred: pod.deferred,
    notices: pod.decision?.notices ?? [],
    holderPid: pod.holder.pid,
    cgroup: sandbox.cgroup,
    namespacePath: sandbox.netnsPath,
    startedTime: new Date(pod.startedMs).toISOString(),
    oldConnections: {
      count: oldConnections.connections.length,
      closed: oldConnections.closed,
      connections: oldConnections.connections
        .slice(0, OLD_CONNECTIONS_SHOWN)
        .map(({ local, remote }) => `${formatSocketAddress(local)} ${formatSocketAddress(remote)}`),
    },
  };
}
