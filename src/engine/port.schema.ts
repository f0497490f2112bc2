// SPDX-License-Identifier: Apache-2.0

/**
 * The one description of what crosses between TypeScript and the engine.
 *
 * `scripts/gen.ts` makes `src/model/messages.gen.ts` (the types), `src/engine/messages.gen.ts` (encoders and decoders) and
 * `native/core/port/messages.gen.h` (both) of it. Nothing else packs or unpacks these bytes.
 *
 * Wire: little-endian, fields in order, no padding. `string` and `bytes` are u32 length and content; `[T]` is u32 count
 * and items; `ip` is 16 bytes, IPv4 mapped (::ffff:a.b.c.d), text on the TypeScript side; `endpoint` is `ip` and u16 port;
 * an enum is a u8 index; `T?` is a u8, 0 or 1, and in the second case `T`, `undefined` in TypeScript otherwise; a variant is a u8
 * index and the fields of that case. A batch is u32 count and, for each message, u8 kind and the message.
 */
export const ENUMS = {
  /**
   * How the bytes of one connection travel. hbone: HTTP/2 CONNECT over mutual TLS to `nextHop`; handoff: both ends are pods
   * of this node, one hop, the destination's policy still applies; passthrough: plain TCP to `nextHop`, outside the mesh on
   * purpose.
   */
  HopKind: ['hbone', 'handoff', 'passthrough'],
  Direction: ['outbound', 'inbound'],
  ExistingConnections: ['keep', 'close'],
  /** Which fields of an inbound question the evaluator looked at; the destination pod always counts. Bits of `consulted`. */
  ConsultedField: ['identity', 'sourceAddress', 'destinationPort', 'authority', 'service'],
  DnsTransport: ['udp', 'tcp'],
  PodFaultKind: ['release', 'listOld', 'closeOld', 'repaired', 'repair'],
  /** inbound only; how the connection reached the pod. */
  Security: ['mutual_tls', 'handoff', 'none'],
} as const;

/** Enums that are used as a set: bit n is the value of index n. */
export const FLAG_ENUMS = ['ConsultedField'] as const;

/** Structures used inside messages. */
export const STRUCTS = {
  AnswerChoice: {
    kind: 'HopKind',
    weight: 'u32',
    nextHop: 'endpoint',
    hboneAuthority: 'string',
    upstreamIdentities: ['string'],
    /** handoff: the pod of this node; 0 otherwise. */
    destinationPod: 'u32',
    /** Interned labels of the flow, see telemetry. */
    flowLabel: 'u32',
  },
  PeerLabel: { address: 'ip', label: 'u32' },
  TcpPair: { local: 'endpoint', remote: 'endpoint' },
  /** A DNS server for queries that the mesh does not answer; `fromNode`: asked from the node's network namespace, else from the namespace of the pod whose query it is. */
  UpstreamResolver: { address: 'ip', fromNode: 'bool' },
  /** One feature of the kernel. `detail`: what was tried and what the kernel said; `remedy`: what an operator can do, "" when present. */
  KernelFeature: { name: 'string', present: 'bool', required: 'bool', detail: 'string', remedy: 'string' },
} as const;

/** What is one of several structures, inside messages. */
export const VARIANTS = {
  BatchOutcome: {
    BatchApplied: {},
    /** The command that failed ended the batch; what came before it stays. */
    BatchFailed: { index: 'u32', op: 'string', errno: 'i32', detail: 'string' },
  },
  DnsOutcome: {
    DnsReply: { message: 'bytes' },
    /** Ask the upstream resolvers, and count by `label`, see telemetry. */
    DnsForward: { label: 'u32' },
  },
} as const;

/** Structures that cross on their own, as what a verb is given. TypeScript validates them against `src/config/table.ts`. */
export const ARGUMENTS = {
  /** Where the engine keeps its kernel state and how it runs. Paths are absolute; every bound has a default in the table. */
  EngineOptions: {
    /** Directory in bpffs, created with mode 0700; pins outlive the process. */
    pinDirectory: 'string',
    /** cgroup v2 ancestor of every pod of this node. */
    podsCgroup: 'string',
    /** cgroup v2 of the agent itself: its own sockets are recognised by it. */
    agentCgroup: 'string',
    /** cgroup v2 of the kubelet, for probes. */
    probeCgroup: 'string?',
    /** Directory with the compiled eBPF objects. */
    bpfDirectory: 'string',
    trustDomain: 'string',
    workerThreads: 'u32',
    upstreamResolvers: ['UpstreamResolver'],
    connectTimeoutMs: 'u32',
    tlsTimeoutMs: 'u32',
    verdictTimeoutMs: 'u32',
    /** Connections of one pod that may wait for a decision on one worker. */
    verdictQueueMax: 'u32',
    /** Live connections of the whole engine; a pod may have as many as are still free. */
    connectionsMax: 'u32',
    streamsPerTunnelMax: 'u32',
    /** Accepted tunnels of one worker; a peer's address may have as many as are still free. */
    tunnelsAcceptedMax: 'u32',
    tunnelIdleMs: 'u32',
    streamWindowBytes: 'u32',
    connectionWindowBytes: 'u32',
    /** For bytes that wait for their readers, of all workers together. */
    keptMemoryBytes: 'u32',
    pingIntervalMs: 'u32',
    pingTimeoutMs: 'u32',
  },
  /** What capture needs to be there. Whether its pins have a place is tried by who mounts that (node/bpffs.ts). */
  ProbeOptions: { podsCgroup: 'string', agentCgroup: 'string', bpfDirectory: 'string' },
} as const;

/** Structures that cross on their own, as what a verb answers. */
export const RESULTS = {
  ProbeReport: { features: ['KernelFeature'] },
} as const;

/** TypeScript → engine, executed in order by the control thread; each is acknowledged as a whole batch. */
export const COMMANDS = {
  /** Certificate and key of an identity; replaces the one before. Keys live in memory only. */
  SetIdentity: {
    identity: 'string',
    certificateChainPem: 'bytes',
    privateKeyPem: 'bytes',
    trustRootsPem: 'bytes',
    notAfterMs: 'u64',
  },
  /** Ends tunnels and connections of the identity. */
  RemoveIdentity: { identity: 'string' },
  /** Makes the pod's new connections pass through the engine. `pod` is chosen by TypeScript, never 0, never reused. */
  CapturePod: {
    pod: 'u32',
    uid: 'string',
    netnsPath: 'string',
    addresses: ['ip'],
    identity: 'string',
    existing: 'ExistingConnections',
    dns: 'bool',
  },
  /** Stops capture at once, lets live connections end until the deadline, then removes every rule. */
  ReleasePod: { pod: 'u32', drainDeadlineMs: 'u32' },
  /**
   * Labels by source address, for telemetry of inbound connections, and of a pod's own address for what happens to the pod
   * before it is decided. label 0 removes.
   */
  SetPeers: { peers: ['PeerLabel'] },
  /** Forgets the answers and asks again for the connections that live by them. */
  InvalidateVerdicts: { verdicts: ['u64'] },
  /** No new connections at all; GOAWAY on tunnels. */
  Drain: { deadlineMs: 'u32' },
} as const;

/** TypeScript → engine, answers: posted to the worker that asked, never waits. */
export const ANSWERS = {
  /** `code` 0: take one of `choices`; otherwise refuse with that code. Kept for every connection of the pod to that destination. */
  OutboundAnswer: {
    question: 'u64',
    verdict: 'u64',
    code: 'u16',
    flowLabel: 'u32',
    choices: ['AnswerChoice'],
    /** Request headers of the CONNECT; the engine adds traceparent and forwarded's `for`. */
    baggage: 'string',
    serviceHostname: 'string',
    /** Milliseconds for which it holds; 0: until it is taken back. Who lives by it then is asked again. */
    keptMs: 'u32',
  },
  /** `code` 0: deliver to `deliverPort` of the pod. Kept for connections alike in the consulted fields. */
  InboundAnswer: {
    question: 'u64',
    verdict: 'u64',
    code: 'u16',
    /** Bits of ConsultedField. */
    consulted: 'u8',
    deliverPort: 'u16',
    flowLabel: 'u32',
    baggage: 'string',
    /** As of OutboundAnswer. */
    keptMs: 'u32',
  },
  DnsAnswer: { query: 'u64', outcome: 'DnsOutcome' },
} as const;

/** Engine → TypeScript, delivered in batches. */
export const EVENTS = {
  OutboundQuestion: { question: 'u64', pod: 'u32', originalDst: 'endpoint' },
  InboundQuestion: {
    question: 'u64',
    pod: 'u32',
    security: 'Security',
    /** "" for plaintext. */
    identity: 'string',
    source: 'endpoint',
    /** The application address asked for: IP literal of the authority or the original destination. */
    destination: 'endpoint',
    /** host:port as written when the authority is not an IP literal, else "". */
    authority: 'string',
    /** Host name of the Service that the source says it dialled, for telemetry; "" when it says none. */
    service: 'string',
  },
  DnsQuery: {
    query: 'u64',
    pod: 'u32',
    transport: 'DnsTransport',
    source: 'endpoint',
    server: 'endpoint',
    message: 'bytes',
  },
  /** The one record of a connection's end, or of its refusal (opened false). Bytes: sent = client to server. */
  ConnectionClosed: {
    id: 'u64',
    opened: 'bool',
    direction: 'Direction',
    pod: 'u32',
    hop: 'HopKind',
    security: 'Security',
    code: 'u16',
    hboneStatus: 'u16',
    source: 'endpoint',
    originalDst: 'endpoint',
    nextHop: 'endpoint',
    hboneAuthority: 'string',
    sourceIdentity: 'string',
    destinationIdentity: 'string',
    verdict: 'u64',
    flowLabel: 'u32',
    peerLabel: 'u32',
    bytesSent: 'u64',
    bytesReceived: 'u64',
    durationUs: 'u64',
    startedMs: 'u64',
    traceparent: 'string',
    /** What `code` alone does not say of a tunnel that failed: printable ASCII, at most 200 bytes, partly the peer's words. */
    detail: 'string',
  },
  /** A batch of commands has been executed. */
  BatchDone: { batch: 'u64', outcome: 'BatchOutcome' },
  /** Connections of a pod that are older than its capture. */
  UncapturedConnections: { pod: 'u32', closed: 'bool', connections: ['TcpPair'] },
  /** A pod's namespace is gone or all of its connections have ended after ReleasePod. */
  PodReleased: { pod: 'u32' },
  /**
   * What the kernel refused of a pod and no command's answer tells. release: tried again until it holds, PodReleased comes
   * then; listOld, closeOld: of connections that are older than its capture. repaired: somebody had undone the part of capture that
   * detail names, and it is back; repair: it is not, tried again. Pod 0 is what all pods share.
   */
  PodFault: { pod: 'u32', fault: 'PodFaultKind', detail: 'string' },
} as const;

/** Live state, answered by `readSnapshot`. */
export const SNAPSHOTS = {
  Connection: {
    id: 'u64',
    direction: 'Direction',
    pod: 'u32',
    hop: 'HopKind',
    security: 'Security',
    source: 'endpoint',
    originalDst: 'endpoint',
    nextHop: 'endpoint',
    sourceIdentity: 'string',
    destinationIdentity: 'string',
    verdict: 'u64',
    bytesSent: 'u64',
    bytesReceived: 'u64',
    startedMs: 'u64',
  },
  Tunnel: {
    direction: 'Direction',
    pod: 'u32',
    local: 'string',
    peer: 'string',
    remote: 'endpoint',
    streams: 'u32',
    streamsTotal: 'u64',
    establishedMs: 'u64',
    notAfterMs: 'u64',
    draining: 'bool',
  },
  /**
   * Cumulative; one row for each (flowLabel, peerLabel, code). code 0 row carries opened and bytes. What was refused before it
   * was decided has the label of the pod's own address in `SetPeers` for its flow label.
   */
  Flow: {
    direction: 'Direction',
    flowLabel: 'u32',
    peerLabel: 'u32',
    code: 'u16',
    opened: 'u64',
    closed: 'u64',
    failed: 'u64',
    bytesSent: 'u64',
    bytesReceived: 'u64',
  },
  /**
   * Forwarded DNS queries, cumulative; one row a label of DnsAnswer. `answered`: by how long the answer took, item i at most
   * 500 µs · 2^i, the last item longer than the one before it; `durationUs`: those times added up.
   */
  DnsUpstream: { label: 'u32', failed: 'u64', durationUs: 'u64', answered: ['u64'] },
  /** Named counters and gauges of the engine and of the kernel programs. */
  Counter: { name: 'string', value: 'u64' },
} as const;
