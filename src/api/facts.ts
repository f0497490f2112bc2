// SPDX-License-Identifier: Apache-2.0

// What the API tells, as the API sees it: plain values, gathered by the composition root. JSON as it stands.

import type { VersionFacts } from '../config/version.ts';
import type { CertificateStatus } from '../identity/certificate-manager.ts';
import type { Authorization } from '../model/policy.ts';
import type { RejectedResource } from '../model/rejected-resource.ts';
import type { Service, ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';

export interface MeshContents {
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly services: ReadonlyMap<string, Service>;
  readonly policies: ReadonlyMap<string, Authorization>;
  /** What was rejected last and is still there. */
  readonly rejected: { values(): Iterable<RejectedResource> };
  /** What DNS says of the name of an endpoint, as far as somebody asked. */
  findName(hostname: string): { readonly kind: 'found' | 'none' | 'failed' } | undefined;
  endpointsOf(
    serviceKey: string,
  ): ReadonlyMap<string, { readonly workload: Workload; readonly ports: readonly ServicePort[] }>;
}

export interface PodFacts {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly trustDomain: string;
  readonly addresses: readonly string[];
  readonly state: string;
  readonly reason: string;
  readonly problem?: string;
  /** What was decided after the capture and waits for the next one. */
  readonly deferred: readonly string[];
  /** What whoever started it should know. */
  readonly notices: readonly string[];
  readonly holderPid: number;
  readonly cgroup: string;
  readonly namespacePath: string;
  readonly startedTime: string;
  /** Connections older than the pod's capture, which no policy held for. */
  readonly oldConnections: {
    readonly count: number;
    readonly closed: boolean;
    readonly connections: readonly string[];
  };
}

export interface ConnectionFacts {
  readonly id: string;
  readonly podUid: string;
  readonly pod: string;
  readonly direction: 'inbound' | 'outbound';
  readonly hop: string;
  readonly security: string;
  readonly source: string;
  readonly originalDst: string;
  readonly nextHop: string;
  readonly sourceIdentity: string;
  readonly destinationIdentity: string;
  readonly policy?: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly startedTime: string;
}

export interface TunnelFacts {
  readonly pod: string;
  readonly direction: 'inbound' | 'outbound';
  readonly local: string;
  readonly peer: string;
  readonly remote: string;
  readonly streams: number;
  readonly streamsTotal: number;
  readonly establishedTime: string;
  readonly expirationTime: string;
  readonly draining: boolean;
}

export interface UpstreamFacts {
  readonly address: string;
  readonly state: 'connected' | 'connecting' | 'disconnected';
  /** Why it is not connected. */
  readonly problem?: string;
  /** When the configuration in use was last known to be the newest, RFC 3339; absent when never since the start. */
  readonly lastSyncTime?: string;
  /** The configuration in use came from disk and has not been confirmed yet. */
  readonly fromCache: boolean;
}

/** `GET /status`, whole. */
export interface StatusFacts {
  readonly node: NodeFacts;
  readonly version: VersionFacts;
  readonly startedTime: string;
  readonly ready: boolean;
  readonly pending: readonly string[];
  readonly controlPlane: UpstreamFacts;
  readonly mesh: {
    readonly trustDomain: string;
    readonly clusterId: string;
    readonly workloads: number;
    readonly services: number;
    readonly policies: number;
    readonly rejectedTotal: number;
  };
  readonly pods: readonly PodFacts[];
  readonly tunnels: readonly TunnelFacts[];
  readonly connections: number;
  /** Named counters of the engine and of the kernel programs. */
  readonly counters: Readonly<Record<string, number>>;
  /** What a person should look at, in words. */
  readonly problems: readonly string[];
}

export interface NodeFacts {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly kernel: string;
  readonly distribution: string;
  readonly cpu: string;
  readonly cores: number;
  readonly loadAverage1m: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly agentResidentBytes: number;
}

/** Everything the API can tell. */
export interface AgentFacts {
  status(): Promise<StatusFacts>;
  readonly mesh: MeshContents;
  certificates(): readonly CertificateStatus[];
  pods(): readonly PodFacts[];
  connections(): readonly ConnectionFacts[];
  version(): VersionFacts;
  config(): Readonly<Record<string, string>>;
  /** Throws `HttpError` for what cannot be asked, or is not known. */
  explain(question: ExplainQuestion): ExplainAnswer;
}

export interface ExplainQuestion {
  readonly direction: 'outbound' | 'inbound';
  /** `namespace/pod` or an address. */
  readonly from: string;
  /** An address, or outbound also the name of a Service. */
  readonly to: { readonly address: string; readonly port: number };
}

/** A line a step that the decision took, and what came of it. */
export interface ExplainAnswer {
  readonly outcome: string;
  readonly lines: readonly string[];
}
