// SPDX-License-Identifier: Apache-2.0
// Generated from src/engine/port.schema.ts by scripts/gen.ts; edit that and run `npm run gen`.
import {
  HOP_KINDS,
  DIRECTIONS,
  EXISTING_CONNECTIONS,
  DNS_TRANSPORTS,
  POD_FAULT_KINDS,
  SECURITIES,
  type AnswerChoice,
  type PeerLabel,
  type TcpPair,
  type UpstreamResolver,
  type KernelFeature,
  type BatchApplied,
  type BatchFailed,
  type DnsReply,
  type DnsForward,
  type BatchOutcome,
  type DnsOutcome,
  type EngineOptions,
  type ProbeOptions,
  type ProbeReport,
  type SetIdentity,
  type RemoveIdentity,
  type CapturePod,
  type ReleasePod,
  type SetPeers,
  type InvalidateVerdicts,
  type Drain,
  type OutboundAnswer,
  type InboundAnswer,
  type DnsAnswer,
  type OutboundQuestion,
  type InboundQuestion,
  type DnsQuery,
  type ConnectionClosed,
  type BatchDone,
  type UncapturedConnections,
  type PodReleased,
  type PodFault,
  type Connection,
  type Tunnel,
  type Flow,
  type DnsUpstream,
  type Counter,
  type Command,
  type Answer,
  type EngineEvent,
} from '../model/messages.gen.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

/** Both sides carry it: an addon built from another schema is refused. */
export const SCHEMA_HASH = 'f7cb54b8a125bb60';

function writeAnswerChoice(w: ByteWriter, m: AnswerChoice): void {
  w.choice(HOP_KINDS, m.kind, 'AnswerChoice.kind');
  w.u32(m.weight, 'AnswerChoice.weight');
  w.endpoint(m.nextHop, 'AnswerChoice.nextHop');
  w.string(m.hboneAuthority, 'AnswerChoice.hboneAuthority');
  w.list(m.upstreamIdentities, 'AnswerChoice.upstreamIdentities', (item) => w.string(item, 'AnswerChoice.upstreamIdentities'));
  w.u32(m.destinationPod, 'AnswerChoice.destinationPod');
  w.u32(m.flowLabel, 'AnswerChoice.flowLabel');
}

function writePeerLabel(w: ByteWriter, m: PeerLabel): void {
  w.ip(m.address, 'PeerLabel.address');
  w.u32(m.label, 'PeerLabel.label');
}

function writeUpstreamResolver(w: ByteWriter, m: UpstreamResolver): void {
  w.ip(m.address, 'UpstreamResolver.address');
  w.bool(m.fromNode, 'UpstreamResolver.fromNode');
}

function writeDnsReply(w: ByteWriter, m: DnsReply): void {
  w.bytes(m.message, 'DnsReply.message');
}

function writeDnsForward(w: ByteWriter, m: DnsForward): void {
  w.u32(m.label, 'DnsForward.label');
}

function writeDnsOutcome(w: ByteWriter, m: DnsOutcome): void {
  switch (m.kind) {
    case 'DnsReply':
      w.u8(0, 'DnsOutcome kind');
      writeDnsReply(w, m);
      break;
    case 'DnsForward':
      w.u8(1, 'DnsOutcome kind');
      writeDnsForward(w, m);
      break;
  }
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
  w.list(m.choices, 'OutboundAnswer.choices', (item) => writeAnswerChoice(w, item));
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
  writeDnsOutcome(w, m.outcome);
}

function writeEngineOptions(w: ByteWriter, m: EngineOptions): void {
  w.string(m.pinDirectory, 'EngineOptions.pinDirectory');
  w.string(m.podsCgroup, 'EngineOptions.podsCgroup');
  w.string(m.agentCgroup, 'EngineOptions.agentCgroup');
  w.optional(m.probeCgroup, 'EngineOptions.probeCgroup', (item) => w.string(item, 'EngineOptions.probeCgroup'));
  w.string(m.bpfDirectory, 'EngineOptions.bpfDirectory');
  w.string(m.trustDomain, 'EngineOptions.trustDomain');
  w.u32(m.workerThreads, 'EngineOptions.workerThreads');
  w.list(m.upstreamResolvers, 'EngineOptions.upstreamResolvers', (item) => writeUpstreamResolver(w, item));
  w.u32(m.connectTimeoutMs, 'EngineOptions.connectTimeoutMs');
  w.u32(m.tlsTimeoutMs, 'EngineOptions.tlsTimeoutMs');
  w.u32(m.verdictTimeoutMs, 'EngineOptions.verdictTimeoutMs');
  w.u32(m.verdictQueueMax, 'EngineOptions.verdictQueueMax');
  w.u32(m.connectionsMax, 'EngineOptions.connectionsMax');
  w.u32(m.streamsPerTunnelMax, 'EngineOptions.streamsPerTunnelMax');
  w.u32(m.tunnelsAcceptedMax, 'EngineOptions.tunnelsAcceptedMax');
  w.u32(m.tunnelIdleMs, 'EngineOptions.tunnelIdleMs');
  w.u32(m.streamWindowBytes, 'EngineOptions.streamWindowBytes');
  w.u32(m.connectionWindowBytes, 'EngineOptions.connectionWindowBytes');
  w.u32(m.keptMemoryBytes, 'EngineOptions.keptMemoryBytes');
  w.u32(m.pingIntervalMs, 'EngineOptions.pingIntervalMs');
  w.u32(m.pingTimeoutMs, 'EngineOptions.pingTimeoutMs');
}

function writeProbeOptions(w: ByteWriter, m: ProbeOptions): void {
  w.string(m.podsCgroup, 'ProbeOptions.podsCgroup');
  w.string(m.agentCgroup, 'ProbeOptions.agentCgroup');
  w.string(m.bpfDirectory, 'ProbeOptions.bpfDirectory');
}

function readTcpPair(r: ByteReader): TcpPair {
  return {
    local: r.endpoint('TcpPair.local'),
    remote: r.endpoint('TcpPair.remote'),
  };
}

function readKernelFeature(r: ByteReader): KernelFeature {
  return {
    name: r.string('KernelFeature.name'),
    present: r.bool('KernelFeature.present'),
    required: r.bool('KernelFeature.required'),
    detail: r.string('KernelFeature.detail'),
    remedy: r.string('KernelFeature.remedy'),
  };
}

function readBatchApplied(r: ByteReader): BatchApplied {
  return {
    kind: 'BatchApplied',
  };
}

function readBatchFailed(r: ByteReader): BatchFailed {
  return {
    kind: 'BatchFailed',
    index: r.u32('BatchFailed.index'),
    op: r.string('BatchFailed.op'),
    errno: r.i32('BatchFailed.errno'),
    detail: r.string('BatchFailed.detail'),
  };
}

function readBatchOutcome(r: ByteReader): BatchOutcome {
  const kind = r.u8('BatchOutcome kind');
  switch (kind) {
    case 0:
      return readBatchApplied(r);
    case 1:
      return readBatchFailed(r);
    default:
      return r.fail('BatchOutcome kind', `${kind} is not a kind of BatchOutcome`);
  }
}

function readProbeReport(r: ByteReader): ProbeReport {
  return {
    features: r.list(14, 'ProbeReport.features', () => readKernelFeature(r)),
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
    outcome: readBatchOutcome(r),
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

export function encodeEngineOptions(m: EngineOptions): Uint8Array {
  const w = new ByteWriter();
  writeEngineOptions(w, m);
  return w.finish();
}

export function encodeProbeOptions(m: ProbeOptions): Uint8Array {
  const w = new ByteWriter();
  writeProbeOptions(w, m);
  return w.finish();
}

export function decodeProbeReport(bytes: Uint8Array): ProbeReport {
  const r = new ByteReader(bytes, 'ProbeReport');
  const m = readProbeReport(r);
  r.finish();
  return m;
}
