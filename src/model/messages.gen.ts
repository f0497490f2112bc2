// SPDX-License-Identifier: Apache-2.0
// Generated from src/engine/port.schema.ts by scripts/gen.ts; edit that and run `npm run gen`.
import type { SocketAddress } from './address.ts';

export const HOP_KINDS = ['hbone', 'handoff', 'passthrough'] as const;
export type HopKind = (typeof HOP_KINDS)[number];

export const DIRECTIONS = ['outbound', 'inbound'] as const;
export type Direction = (typeof DIRECTIONS)[number];

export const EXISTING_CONNECTIONS = ['keep', 'close'] as const;
export type ExistingConnections = (typeof EXISTING_CONNECTIONS)[number];

export const CONSULTED_FIELDS = ['identity', 'sourceAddress', 'destinationPort', 'authority', 'service'] as const;
export type ConsultedField = (typeof CONSULTED_FIELDS)[number];
export const ConsultedFieldBit = { identity: 1, sourceAddress: 2, destinationPort: 4, authority: 8, service: 16 } as const satisfies Record<ConsultedField, number>;

export const DNS_TRANSPORTS = ['udp', 'tcp'] as const;
export type DnsTransport = (typeof DNS_TRANSPORTS)[number];

export const POD_FAULT_KINDS = ['release', 'listOld', 'closeOld', 'repaired', 'repair'] as const;
export type PodFaultKind = (typeof POD_FAULT_KINDS)[number];

export const SECURITIES = ['mutual_tls', 'handoff', 'none'] as const;
export type Security = (typeof SECURITIES)[number];

export interface AnswerChoice {
  readonly kind: HopKind;
  readonly weight: number;
  readonly nextHop: SocketAddress;
  readonly hboneAuthority: string;
  readonly upstreamIdentities: readonly string[];
  readonly destinationPod: number;
  readonly flowLabel: number;
}

export interface PeerLabel {
  readonly address: string;
  readonly label: number;
}

export interface TcpPair {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

export interface UpstreamResolver {
  readonly address: string;
  readonly fromNode: boolean;
}

export interface KernelFeature {
  readonly name: string;
  readonly present: boolean;
  readonly required: boolean;
  readonly detail: string;
  readonly remedy: string;
}

export interface BatchApplied {
  readonly kind: 'BatchApplied';
}

export interface BatchFailed {
  readonly kind: 'BatchFailed';
  readonly index: number;
  readonly op: string;
  readonly errno: number;
  readonly detail: string;
}

export interface DnsReply {
  readonly kind: 'DnsReply';
  readonly message: Uint8Array;
}

export interface DnsForward {
  readonly kind: 'DnsForward';
  readonly label: number;
}

export type BatchOutcome = BatchApplied | BatchFailed;

export type DnsOutcome = DnsReply | DnsForward;

export interface EngineOptions {
  readonly pinDirectory: string;
  readonly podsCgroup: string;
  readonly agentCgroup: string;
  readonly probeCgroup: string | undefined;
  readonly bpfDirectory: string;
  readonly trustDomain: string;
  readonly workerThreads: number;
  readonly upstreamResolvers: readonly UpstreamResolver[];
  readonly connectTimeoutMs: number;
  readonly tlsTimeoutMs: number;
  readonly verdictTimeoutMs: number;
  readonly verdictQueueMax: number;
  readonly connectionsMax: number;
  readonly streamsPerTunnelMax: number;
  readonly tunnelsAcceptedMax: number;
  readonly tunnelIdleMs: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly keptMemoryBytes: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
}

export interface ProbeOptions {
  readonly podsCgroup: string;
  readonly agentCgroup: string;
  readonly bpfDirectory: string;
}

export interface ProbeReport {
  readonly features: readonly KernelFeature[];
}

export interface SetIdentity {
  readonly kind: 'SetIdentity';
  readonly identity: string;
  readonly certificateChainPem: Uint8Array;
  readonly privateKeyPem: Uint8Array;
  readonly trustRootsPem: Uint8Array;
  readonly notAfterMs: bigint;
}

export interface RemoveIdentity {
  readonly kind: 'RemoveIdentity';
  readonly identity: string;
}

export interface CapturePod {
  readonly kind: 'CapturePod';
  readonly pod: number;
  readonly uid: string;
  readonly netnsPath: string;
  readonly addresses: readonly string[];
  readonly identity: string;
  readonly existing: ExistingConnections;
  readonly dns: boolean;
}

export interface ReleasePod {
  readonly kind: 'ReleasePod';
  readonly pod: number;
  readonly drainDeadlineMs: number;
}

export interface SetPeers {
  readonly kind: 'SetPeers';
  readonly peers: readonly PeerLabel[];
}

export interface InvalidateVerdicts {
  readonly kind: 'InvalidateVerdicts';
  readonly verdicts: readonly bigint[];
}

export interface Drain {
  readonly kind: 'Drain';
  readonly deadlineMs: number;
}

export interface OutboundAnswer {
  readonly kind: 'OutboundAnswer';
  readonly question: bigint;
  readonly verdict: bigint;
  readonly code: number;
  readonly flowLabel: number;
  readonly choices: readonly AnswerChoice[];
  readonly baggage: string;
  readonly serviceHostname: string;
  readonly keptMs: number;
}

export interface InboundAnswer {
  readonly kind: 'InboundAnswer';
  readonly question: bigint;
  readonly verdict: bigint;
  readonly code: number;
  readonly consulted: number;
  readonly deliverPort: number;
  readonly flowLabel: number;
  readonly baggage: string;
  readonly keptMs: number;
}

export interface DnsAnswer {
  readonly kind: 'DnsAnswer';
  readonly query: bigint;
  readonly outcome: DnsOutcome;
}

export interface OutboundQuestion {
  readonly kind: 'OutboundQuestion';
  readonly question: bigint;
  readonly pod: number;
  readonly originalDst: SocketAddress;
}

export interface InboundQuestion {
  readonly kind: 'InboundQuestion';
  readonly question: bigint;
  readonly pod: number;
  readonly security: Security;
  readonly identity: string;
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  readonly authority: string;
  readonly service: string;
}

export interface DnsQuery {
  readonly kind: 'DnsQuery';
  readonly query: bigint;
  readonly pod: number;
  readonly transport: DnsTransport;
  readonly source: SocketAddress;
  readonly server: SocketAddress;
  readonly message: Uint8Array;
}

export interface ConnectionClosed {
  readonly kind: 'ConnectionClosed';
  readonly id: bigint;
  readonly opened: boolean;
  readonly direction: Direction;
  readonly pod: number;
  readonly hop: HopKind;
  readonly security: Security;
  readonly code: number;
  readonly hboneStatus: number;
  readonly source: SocketAddress;
  readonly originalDst: SocketAddress;
  readonly nextHop: SocketAddress;
  readonly hboneAuthority: string;
  readonly sourceIdentity: string;
  readonly destinationIdentity: string;
  readonly verdict: bigint;
  readonly flowLabel: number;
  readonly peerLabel: number;
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
  readonly durationUs: bigint;
  readonly startedMs: bigint;
  readonly traceparent: string;
  readonly detail: string;
}

export interface BatchDone {
  readonly kind: 'BatchDone';
  readonly batch: bigint;
  readonly outcome: BatchOutcome;
}

export interface UncapturedConnections {
  readonly kind: 'UncapturedConnections';
  readonly pod: number;
  readonly closed: boolean;
  readonly connections: readonly TcpPair[];
}

export interface PodReleased {
  readonly kind: 'PodReleased';
  readonly pod: number;
}

export interface PodFault {
  readonly kind: 'PodFault';
  readonly pod: number;
  readonly fault: PodFaultKind;
  readonly detail: string;
}

export interface Connection {
  readonly id: bigint;
  readonly direction: Direction;
  readonly pod: number;
  readonly hop: HopKind;
  readonly security: Security;
  readonly source: SocketAddress;
  readonly originalDst: SocketAddress;
  readonly nextHop: SocketAddress;
  readonly sourceIdentity: string;
  readonly destinationIdentity: string;
  readonly verdict: bigint;
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
  readonly startedMs: bigint;
}

export interface Tunnel {
  readonly direction: Direction;
  readonly pod: number;
  readonly local: string;
  readonly peer: string;
  readonly remote: SocketAddress;
  readonly streams: number;
  readonly streamsTotal: bigint;
  readonly establishedMs: bigint;
  readonly notAfterMs: bigint;
  readonly draining: boolean;
}

export interface Flow {
  readonly direction: Direction;
  readonly flowLabel: number;
  readonly peerLabel: number;
  readonly code: number;
  readonly opened: bigint;
  readonly closed: bigint;
  readonly failed: bigint;
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
}

export interface DnsUpstream {
  readonly label: number;
  readonly failed: bigint;
  readonly durationUs: bigint;
  readonly answered: readonly bigint[];
}

export interface Counter {
  readonly name: string;
  readonly value: bigint;
}

export type Command = SetIdentity | RemoveIdentity | CapturePod | ReleasePod | SetPeers | InvalidateVerdicts | Drain;
export type Answer = OutboundAnswer | InboundAnswer | DnsAnswer;
export type EngineEvent = OutboundQuestion | InboundQuestion | DnsQuery | ConnectionClosed | BatchDone | UncapturedConnections | PodReleased | PodFault;
