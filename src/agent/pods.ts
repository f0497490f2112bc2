// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';
import { CaptureSteps } from '../dialogue/capture-steps.ts';
import type { PodCaptures } from '../dialogue/pod-captures.ts';
import { PodRegistryClient } from '../discovery/pod-registry-client.ts';
import type { RegistryWelcome, ReportedPod } from '../discovery/pod-report.ts';
import { isAlive } from '../host/process-id.ts';
import type { MeshStore } from '../mesh/store.ts';
import { isLoopback } from '../model/address.ts';
import type { Clock } from '../model/clock.ts';
import type { Closers } from '../model/closers.ts';
import { CLUSTER_DNS_DEFAULT } from '../node/resolvers.ts';
import { AwaitedPool } from '../pods/awaited-pool.ts';
import { type PodRecord, podIdentity } from '../pods/pod.ts';
import { workloadUidOf } from '../pods/pod-directory.ts';
import type { UnenrolledPod } from '../pods/kubernetes-pods.ts';
import { PodManager } from '../pods/pod-manager.ts';
import { closeSandbox, openSandbox, type SandboxHost } from '../pods/sandbox.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Decisions } from './decisions.ts';
import type { Identity } from './identity.ts';
import type { Enrolment, KubernetesNode } from './kubernetes.ts';
import type { Place } from './place.ts';
import type { Upstream } from './upstream.ts';

/** The pods of this node, and what the control plane is told of them and says about them. */
export interface Pods {
  readonly pods: PodManager;
  readonly registry: PodRegistryClient;
  /** What is wrong with the mesh as a whole, as the control plane told last. */
  readonly meshProblems: () => readonly string[];
  /** Follows the API server, where that knows the pods; nothing is enrolled before the mesh is. */
  openKubernetes(): void;
  /** Pods that belong to the mesh and are not in it, and why. */
  unenrolled(): readonly UnenrolledPod[];
  /** Of the API server's side; at 0 where it knows no pods. */
  readonly kubernetesCounters: Enrolment['counters'];
}

export interface PodsParts {
  /** Where the API server knows the pods. */
  readonly kubernetes: KubernetesNode | undefined;
  readonly place: Place;
  readonly upstream: Upstream;
  readonly mesh: MeshStore;
  readonly captures: PodCaptures;
  readonly identity: Identity;
  readonly decisions: Decisions;
  /** The control plane takes reports on a new stream. */
  readonly onWelcome: () => void;
  readonly clock: Clock;
}

const NO_KUBERNETES: Enrolment['counters'] = {
  api: { lists: 0, watches: 0, events: 0, expired: 0, failures: 0 },
  annotation: { written: 0, failures: 0 },
};

type PodsConfig = Config<'node' | 'engine' | 'pods' | 'mesh'>;

/** Neither takes over pods nor reports any before they are opened. */
export function openPods(config: PodsConfig, log: Logger, parts: PodsParts, closers: Closers): Pods {
  const { place, upstream, identity, decisions, clock } = parts;
  const { trustDomain, clusterId } = config.mesh;
  const registryLog = log.child('pod registry');
  const pool = new AwaitedPool(config.pods.cidrs, registryLog);
  let meshProblems: readonly string[] = [];
  const registry = new PodRegistryClient({
    controlPlane: upstream.controlPlane,
    node: config.node.name,
    addresses: place.addresses,
    snapshot: () => pods.listStaying().map((pod) => toReport(pod, pod.inMesh)),
    onWelcome: (welcome) => {
      checkTrustDomain(welcome, trustDomain, registryLog);
      pool.give(welcome.podCidrs);
      parts.onWelcome();
    },
    onDecision: ({ uid, ...decision }) => {
      pods.decide(uid, decision);
      // The control plane knows the pod now, and so will sign for its identity.
      const pod = pods.find(uid);
      if (pod !== undefined) identity.certificates.hurry(podIdentity(trustDomain, pod.spec));
    },
    onRejected: (uid, reason) => pods.reject(uid, reason),
    onProblems: (problems) => {
      meshProblems = problems;
    },
    openTokenLine: () => upstream.tokens.openLine(),
    clock,
    log: registryLog,
  });
  closers.add('pod registry', () => registry.close());
  const host = sandboxHost(config, place);
  const podsLog = log.child('pods');
  const pods: PodManager = new PodManager(
    {
      host,
      decisionTimeoutMs: config.pods.decisionTimeoutMs,
      captureTimeoutMs: config.pods.captureTimeoutMs,
    },
    {
      files: place.files,
      sandboxes: {
        open: (sandbox, namespace) => openSandbox(host, sandbox, namespace, podsLog),
        close: (sandbox) => closeSandbox(sandbox, podsLog),
      },
      steps: openSteps(config, parts, {
        captured: (uid, captured) => {
          registry.captured(uid, captured);
          enrolment?.say(uid, captured);
        },
        leaving: (uid) => enrolment?.say(uid, false),
      }),
      isAlive,
      reporter: {
        started: (pod) => registry.started(toReport(pod, false)),
        changed: (pod) => registry.started(toReport(pod, pod.inMesh)),
        stopped: (uid) => registry.stopped(uid),
      },
      clock,
      log: podsLog,
      pool: pool.opened,
      podsChanged: () => decisions.dialogue.onChange(decisions.directory.update(clusterId, pods.list())),
    },
  );
  closers.add('pods', () => pods.close());
  const enrolment = parts.kubernetes?.enrol(pods);
  closers.add('Kubernetes', () => enrolment?.close());
  return {
    pods,
    registry,
    meshProblems: () => meshProblems,
    openKubernetes: () => void enrolment?.source.open(),
    unenrolled: () => enrolment?.source.unenrolled() ?? [],
    kubernetesCounters: enrolment?.counters ?? NO_KUBERNETES,
  };
}

interface CaptureReports {
  captured(uid: string, captured: boolean): void;
  leaving(uid: string): void;
}

function openSteps(config: PodsConfig, parts: PodsParts, reports: CaptureReports): CaptureSteps {
  const { captures, identity, mesh, clock } = parts;
  const { trustDomain, clusterId } = config.mesh;
  return new CaptureSteps(
    {
      drainDeadlineMs: config.engine.drainDeadlineMs,
      releaseGraceMs: config.pods.releaseGraceMs,
      releaseWaitMs: config.pods.releaseWaitMs,
    },
    {
      captures,
      certificates: identity.certificates,
      identities: identity.identities,
      clock,
      trustDomain: () => trustDomain,
      reportCaptured: (uid, captured) => reports.captured(uid, captured),
      reportLeaving: (uid) => reports.leaving(uid),
      findWorkload: (pod) => mesh.findWorkload(workloadUidOf(clusterId, pod.spec)),
    },
  );
}

function sandboxHost({ node, pods, mesh }: PodsConfig, { home, resolvers }: Place): SandboxHost {
  const known = pods.clusterDns.length > 0 ? pods.clusterDns : resolvers.filter((address) => !isLoopback(address));
  return {
    node: node.name,
    podsCgroup: home.podsCgroup,
    mtu: pods.mtu,
    nameservers: known.length > 0 ? known : [CLUSTER_DNS_DEFAULT],
    clusterDomain: mesh.clusterDomain,
  };
}

function checkTrustDomain(welcome: RegistryWelcome, ours: string, log: Logger): void {
  if (welcome.trustDomain === ours) return;
  log.error('the control plane has another trust domain', {
    theirs: welcome.trustDomain,
    ours,
    hint: 'set --trust-domain to the same value on both',
  });
}

function toReport({ uid, spec, sandbox, terminating = false }: PodRecord, captured: boolean): ReportedPod {
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
    terminating,
    subdomain: spec.subdomain ?? '',
  };
}
