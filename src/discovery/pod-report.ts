// SPDX-License-Identifier: Apache-2.0

import { ExistingConnections, type PodDecision, type PodDescription, SameNodeMode } from '../wire/groundwire/pods.ts';

/** A pod as its node reports it. */
export interface ReportedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ips: readonly string[];
  readonly containerPorts: readonly { readonly name: string; readonly port: number }[];
  /** Its connections pass through the mesh now. */
  readonly captured: boolean;
  /** Its program has been told to end. */
  readonly terminating: boolean;
  /** "" = none. */
  readonly subdomain: string;
}

/** What the control plane wants of a node for one pod. */
export interface CaptureDecision {
  readonly uid: string;
  readonly capture: boolean;
  readonly sameNodeMode: 'handoff' | 'tunnel';
  readonly existingConnections: 'keep' | 'close';
  readonly dnsCapture: boolean;
  readonly reason: string;
  /** What whoever started the pod should know about it, in words. */
  readonly notices: readonly string[];
}

/** What a node learns when it attaches. */
export interface RegistryWelcome {
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly podCidrs: readonly string[];
}

export function toWirePod(pod: ReportedPod): PodDescription {
  return {
    ...pod,
    labels: { ...pod.labels },
    annotations: { ...pod.annotations },
    ips: [...pod.ips],
    containerPorts: pod.containerPorts.map(({ name, port }) => ({ name, port })),
  };
}

export function fromWirePod(pod: PodDescription): ReportedPod {
  const { uid, name, namespace, serviceAccount, labels, annotations, ips, captured, terminating, subdomain } = pod;
  const containerPorts = pod.containerPorts.map((each) => ({ name: each.name, port: each.port }));
  return {
    uid,
    name,
    namespace,
    serviceAccount,
    labels,
    annotations,
    ips,
    containerPorts,
    captured,
    terminating,
    subdomain,
  };
}

export function toWireDecision(decision: CaptureDecision): PodDecision {
  return {
    ...decision,
    notices: [...decision.notices],
    sameNodeMode: decision.sameNodeMode === 'tunnel' ? SameNodeMode.TUNNEL : SameNodeMode.HANDOFF,
    existingConnections:
      decision.existingConnections === 'close' ? ExistingConnections.CLOSE : ExistingConnections.KEEP,
  };
}

export function fromWireDecision(decision: PodDecision): CaptureDecision {
  const { uid, capture, dnsCapture, reason, notices } = decision;
  return {
    uid,
    capture,
    sameNodeMode: decision.sameNodeMode === SameNodeMode.TUNNEL ? 'tunnel' : 'handoff',
    existingConnections: decision.existingConnections === ExistingConnections.CLOSE ? 'close' : 'keep',
    dnsCapture,
    reason,
    notices,
  };
}
