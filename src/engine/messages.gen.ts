// SPDX-License-Identifier: Apache-2.0
// Generated from src/engine/port.schema.ts by scripts/gen.ts; edit that and run `npm run gen`.
import type { SocketAddress } from '../model/route.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

/** Both sides carry it: an addon built from another schema is refused. */
export const SCHEMA_HASH = '7d9e76f32431ef16';

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

export interface RouteChoice {
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
  readonly choices: readonly RouteChoice[];
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
  readonly message: Uint8Array;
  readonly label: number;
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
  readonly failedIndex: number;
  readonly op: string;
  readonly errno: number;
  readonly detail: string;
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

function writeRouteChoice(w: ByteWriter, m: RouteChoice): void {
  w.choice(HOP_KINDS, m.kind, 'RouteChoice.kind');
  w.u32(m.weight, 'RouteChoice.weight');
  w.endpoint(m.nextHop, 'RouteChoice.nextHop');
  w.string(m.hboneAuthority, 'RouteChoice.hboneAuthority');
  w.list(m.upstreamIdentities, 'RouteChoice.upstreamIdentities', (item) => w.string(item, 'RouteChoice.upstreamIdentities'));
  w.u32(m.destinationPod, 'RouteChoice.destinationPod');
  w.u32(m.flowLabel, 'RouteChoice.flowLabel');
}

function writePeerLabel(w: ByteWriter, m: PeerLabel): void {
  w.ip(m.address, 'PeerLabel.address');
  w.u32(m.label, 'PeerLabel.label');
}

function writeSetIdentity(w: ByteWriter, m: SetIdentity): void {
  w.string(m.identity, 'SetIdentity.identity');
  w.bytes(m.certificateChainPem, 'SetIdentity.certificateChainPem');
  w.bytes(m.privateKeyPem, 'SetIdentity.privateKeyPem');
  w.bytes(m.trustRootsPem, 'SetIdentity.trustRootsPem');
  w.u64(m.notAfterMs, 'SetIdentity.notAfterMs');
}

function writeRemoveIdentity(w: ByteWriter, m: RemoveIdentity): void {
  w.string(m.identity, 'RemoveIdentity.identity');
}

function writeCapturePod(w: ByteWriter, m: CapturePod): void {
  w.u32(m.pod, 'CapturePod.pod');
  w.string(m.uid, 'CapturePod.uid');
  w.string(m.netnsPath, 'CapturePod.netnsPath');
  w.list(m.addresses, 'CapturePod.addresses', (item) => w.ip(item, 'CapturePod.addresses'));
  w.string(m.identity, 'CapturePod.identity');
  w.choice(EXISTING_CONNECTIONS, m.existing, 'CapturePod.existing');
  w.bool(m.dns, 'CapturePod.dns');
}

function writeReleasePod(w: ByteWriter, m: ReleasePod): void {
  w.u32(m.pod, 'ReleasePod.pod');
  w.u32(m.drainDeadlineMs, 'ReleasePod.drainDeadlineMs');
}

function writeSetPeers(w: ByteWriter, m: SetPeers): void {
  w.list(m.peers, 'SetPeers.peers', (item) => writePeerLabel(w, item));
}

function writeInvalidateVerdicts(w: ByteWriter, m: InvalidateVerdicts): void {
  w.list(m.verdicts, 'InvalidateVerdicts.verdicts', (item) => w.u64(item, 'InvalidateVerdicts.verdicts'));
}

function writeDrain(w: ByteWriter, m: Drain): void {
  w.u32(m.deadlineMs, 'Drain.deadlineMs');
}

function writeOutboundAnswer(w: ByteWriter, m: OutboundAnswer): void {
  w.u64(m.question, 'OutboundAnswer.question');
  w.u64(m.verdict, 'OutboundAnswer.verdict');
  w.u16(m.code, 'OutboundAnswer.code');
  w.u32(m.flowLabel, 'OutboundAnswer.flowLabel');
  w.list(m.choices, 'OutboundAnswer.choices', (item) => writeRouteChoice(w, item));
  w.string(m.baggage, 'OutboundAnswer.baggage');
  w.string(m.serviceHostname, 'OutboundAnswer.serviceHostname');
  w.u32(m.keptMs, 'OutboundAnswer.keptMs');
}

function writeInboundAnswer(w: ByteWriter, m: InboundAnswer): void {
  w.u64(m.question, 'InboundAnswer.question');
  w.u64(m.verdict, 'InboundAnswer.verdict');
  w.u16(m.code, 'InboundAnswer.code');
  w.u8(m.consulted, 'InboundAnswer.consulted');
  w.u16(m.deliverPort, 'InboundAnswer.deliverPort');
  w.u32(m.flowLabel, 'InboundAnswer.flowLabel');
  w.string(m.baggage, 'InboundAnswer.baggage');
  w.u32(m.keptMs, 'InboundAnswer.keptMs');
}

function writeDnsAnswer(w: ByteWriter, m: DnsAnswer): void {
  w.u64(m.query, 'DnsAnswer.query');
  w.bytes(m.message, 'DnsAnswer.message');
  w.u32(m.label, 'DnsAnswer.label');
}

function readTcpPair(r: ByteReader): TcpPair {
  return {
    local: r.endpoint('TcpPair.local'),
    remote: r.endpoint('TcpPair.remote'),
  };
}

function readOutboundQuestion(r: ByteReader): OutboundQuestion {
  return {
    kind: 'OutboundQuestion',
    question: r.u64('OutboundQuestion.question'),
    pod: r.u32('OutboundQuestion.pod'),
    originalDst: r.endpoint('OutboundQuestion.originalDst'),
  };
}

function readInboundQuestion(r: ByteReader): InboundQuestion {
  return {
    kind: 'InboundQuestion',
    question: r.u64('InboundQuestion.question'),
    pod: r.u32('InboundQuestion.pod'),
    security: r.choice(SECURITIES, 'InboundQuestion.security'),
    identity: r.string('InboundQuestion.identity'),
    source: r.endpoint('InboundQuestion.source'),
    destination: r.endpoint('InboundQuestion.destination'),
    authority: r.string('InboundQuestion.authority'),
    service: r.string('InboundQuestion.service'),
  };
}

function readDnsQuery(r: ByteReader): DnsQuery {
  return {
    kind: 'DnsQuery',
    query: r.u64('DnsQuery.query'),
    pod: r.u32('DnsQuery.pod'),
    transport: r.choice(DNS_TRANSPORTS, 'DnsQuery.transport'),
    source: r.endpoint('DnsQuery.source'),
    server: r.endpoint('DnsQuery.server'),
    message: r.bytes('DnsQuery.message'),
  };
}

function readConnectionClosed(r: ByteReader): ConnectionClosed {
  return {
    kind: 'ConnectionClosed',
    id: r.u64('ConnectionClosed.id'),
    opened: r.bool('ConnectionClosed.opened'),
    direction: r.choice(DIRECTIONS, 'ConnectionClosed.direction'),
    pod: r.u32('ConnectionClosed.pod'),
    hop: r.choice(HOP_KINDS, 'ConnectionClosed.hop'),
    security: r.choice(SECURITIES, 'ConnectionClosed.security'),
    code: r.u16('ConnectionClosed.code'),
    hboneStatus: r.u16('ConnectionClosed.hboneStatus'),
    source: r.endpoint('ConnectionClosed.source'),
    originalDst: r.endpoint('ConnectionClosed.originalDst'),
    nextHop: r.endpoint('ConnectionClosed.nextHop'),
    hboneAuthority: r.string('ConnectionClosed.hboneAuthority'),
    sourceIdentity: r.string('ConnectionClosed.sourceIdentity'),
    destinationIdentity: r.string('ConnectionClosed.destinationIdentity'),
    verdict: r.u64('ConnectionClosed.verdict'),
    flowLabel: r.u32('ConnectionClosed.flowLabel'),
    peerLabel: r.u32('ConnectionClosed.peerLabel'),
    bytesSent: r.u64('ConnectionClosed.bytesSent'),
    bytesReceived: r.u64('ConnectionClosed.bytesReceived'),
    durationUs: r.u64('ConnectionClosed.durationUs'),
    startedMs: r.u64('ConnectionClosed.startedMs'),
    traceparent: r.string('ConnectionClosed.traceparent'),
    detail: r.string('ConnectionClosed.detail'),
  };
}

function readBatchDone(r: ByteReader): BatchDone {
  return {
    kind: 'BatchDone',
    batch: r.u64('BatchDone.batch'),
    failedIndex: r.i32('BatchDone.failedIndex'),
    op: r.string('BatchDone.op'),
    errno: r.i32('BatchDone.errno'),
    detail: r.string('BatchDone.detail'),
  };
}

function readUncapturedConnections(r: ByteReader): UncapturedConnections {
  return {
    kind: 'UncapturedConnections',
    pod: r.u32('UncapturedConnections.pod'),
    closed: r.bool('UncapturedConnections.closed'),
    connections: r.list(36, 'UncapturedConnections.connections', () => readTcpPair(r)),
  };
}

function readPodReleased(r: ByteReader): PodReleased {
  return {
    kind: 'PodReleased',
    pod: r.u32('PodReleased.pod'),
  };
}

function readPodFault(r: ByteReader): PodFault {
  return {
    kind: 'PodFault',
    pod: r.u32('PodFault.pod'),
    fault: r.choice(POD_FAULT_KINDS, 'PodFault.fault'),
    detail: r.string('PodFault.detail'),
  };
}

function readConnection(r: ByteReader): Connection {
  return {
    id: r.u64('Connection.id'),
    direction: r.choice(DIRECTIONS, 'Connection.direction'),
    pod: r.u32('Connection.pod'),
    hop: r.choice(HOP_KINDS, 'Connection.hop'),
    security: r.choice(SECURITIES, 'Connection.security'),
    source: r.endpoint('Connection.source'),
    originalDst: r.endpoint('Connection.originalDst'),
    nextHop: r.endpoint('Connection.nextHop'),
    sourceIdentity: r.string('Connection.sourceIdentity'),
    destinationIdentity: r.string('Connection.destinationIdentity'),
    verdict: r.u64('Connection.verdict'),
    bytesSent: r.u64('Connection.bytesSent'),
    bytesReceived: r.u64('Connection.bytesReceived'),
    startedMs: r.u64('Connection.startedMs'),
  };
}

function readTunnel(r: ByteReader): Tunnel {
  return {
    direction: r.choice(DIRECTIONS, 'Tunnel.direction'),
    pod: r.u32('Tunnel.pod'),
    local: r.string('Tunnel.local'),
    peer: r.string('Tunnel.peer'),
    remote: r.endpoint('Tunnel.remote'),
    streams: r.u32('Tunnel.streams'),
    streamsTotal: r.u64('Tunnel.streamsTotal'),
    establishedMs: r.u64('Tunnel.establishedMs'),
    notAfterMs: r.u64('Tunnel.notAfterMs'),
    draining: r.bool('Tunnel.draining'),
  };
}

function readFlow(r: ByteReader): Flow {
  return {
    direction: r.choice(DIRECTIONS, 'Flow.direction'),
    flowLabel: r.u32('Flow.flowLabel'),
    peerLabel: r.u32('Flow.peerLabel'),
    code: r.u16('Flow.code'),
    opened: r.u64('Flow.opened'),
    closed: r.u64('Flow.closed'),
    failed: r.u64('Flow.failed'),
    bytesSent: r.u64('Flow.bytesSent'),
    bytesReceived: r.u64('Flow.bytesReceived'),
  };
}

function readDnsUpstream(r: ByteReader): DnsUpstream {
  return {
    label: r.u32('DnsUpstream.label'),
    failed: r.u64('DnsUpstream.failed'),
    durationUs: r.u64('DnsUpstream.durationUs'),
    answered: r.list(8, 'DnsUpstream.answered', () => r.u64('DnsUpstream.answered')),
  };
}

function readCounter(r: ByteReader): Counter {
  return {
    name: r.string('Counter.name'),
    value: r.u64('Counter.value'),
  };
}

export function encodeCommands(messages: readonly Command[]): Uint8Array {
  const w = new ByteWriter();
  w.list(messages, 'Command batch', (message) => {
    switch (message.kind) {
      case 'SetIdentity':
        w.u8(0, 'Command kind');
        writeSetIdentity(w, message);
        break;
      case 'RemoveIdentity':
        w.u8(1, 'Command kind');
        writeRemoveIdentity(w, message);
        break;
      case 'CapturePod':
        w.u8(2, 'Command kind');
        writeCapturePod(w, message);
        break;
      case 'ReleasePod':
        w.u8(3, 'Command kind');
        writeReleasePod(w, message);
        break;
      case 'SetPeers':
        w.u8(4, 'Command kind');
        writeSetPeers(w, message);
        break;
      case 'InvalidateVerdicts':
        w.u8(5, 'Command kind');
        writeInvalidateVerdicts(w, message);
        break;
      case 'Drain':
        w.u8(6, 'Command kind');
        writeDrain(w, message);
        break;
    }
  });
  return w.finish();
}

export function encodeAnswers(messages: readonly Answer[]): Uint8Array {
  const w = new ByteWriter();
  w.list(messages, 'Answer batch', (message) => {
    switch (message.kind) {
      case 'OutboundAnswer':
        w.u8(0, 'Answer kind');
        writeOutboundAnswer(w, message);
        break;
      case 'InboundAnswer':
        w.u8(1, 'Answer kind');
        writeInboundAnswer(w, message);
        break;
      case 'DnsAnswer':
        w.u8(2, 'Answer kind');
        writeDnsAnswer(w, message);
        break;
    }
  });
  return w.finish();
}

export function decodeEvents(bytes: Uint8Array): EngineEvent[] {
  const r = new ByteReader(bytes, 'events');
  const events = r.list(1, 'Event batch', (): EngineEvent => {
    const kind = r.u8('Event kind');
    switch (kind) {
      case 0:
        return readOutboundQuestion(r);
      case 1:
        return readInboundQuestion(r);
      case 2:
        return readDnsQuery(r);
      case 3:
        return readConnectionClosed(r);
      case 4:
        return readBatchDone(r);
      case 5:
        return readUncapturedConnections(r);
      case 6:
        return readPodReleased(r);
      case 7:
        return readPodFault(r);
      default:
        return r.fail('Event kind', `${kind} is not a kind of event`);
    }
  });
  r.finish();
  return events;
}

export interface SnapshotRows {
  readonly connections: Connection[];
  readonly tunnels: Tunnel[];
  readonly flows: Flow[];
  readonly dnsUpstreams: DnsUpstream[];
  readonly counters: Counter[];
}

/** Bits of the mask that asks the engine for parts of a snapshot. */
export const SnapshotPartBit = { connections: 1, tunnels: 2, flows: 4, dnsUpstreams: 8, counters: 16 } as const satisfies Record<keyof SnapshotRows, number>;

export function decodeSnapshot(bytes: Uint8Array): SnapshotRows {
  const r = new ByteReader(bytes, 'snapshot');
  const rows: SnapshotRows = { connections: [], tunnels: [], flows: [], dnsUpstreams: [], counters: [] };
  r.list(1, 'Snapshot batch', () => {
    const kind = r.u8('Snapshot kind');
    switch (kind) {
      case 0:
        rows.connections.push(readConnection(r));
        break;
      case 1:
        rows.tunnels.push(readTunnel(r));
        break;
      case 2:
        rows.flows.push(readFlow(r));
        break;
      case 3:
        rows.dnsUpstreams.push(readDnsUpstream(r));
        break;
      case 4:
        rows.counters.push(readCounter(r));
        break;
      default:
        r.fail('Snapshot kind', `${kind} is not a kind of row`);
    }
  });
  r.finish();
  return rows;
}
