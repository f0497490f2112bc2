// SPDX-License-Identifier: Apache-2.0

import { hostname } from 'node:os';
import { LOG_LEVELS } from '../model/log.ts';
import {
  bytes,
  dnsName,
  duration,
  hostPort,
  integer,
  listOf,
  loopbackHostPort,
  namespaceName,
  oneOf,
  onOff,
  pairs,
  parseAccount,
  parseIp,
  parseKey,
  parseLabelValue,
  parsePort,
  parseText,
  path,
  rangePerFamily,
  text,
  trustDomain,
} from './parse.ts';
import { optional, required, type Setting, setting } from './setting.ts';

const MANIFESTS_HELP = 'directory of Kubernetes YAML, read again when it changes';

/**
 * Everything that can be set, in parts; a command takes the parts it needs and a part of the program receives one.
 * Flags, variables, help, `docs/config.md` and the check of the DaemonSet all come from here.
 */
export const TABLE = {
  /** Which machine this is. */
  node: {
    name: setting('node', dnsName(), hostname().toLowerCase(), "name of this node (default: the machine's host name)"),
    addresses: setting(
      'node-address',
      listOf(parseIp, 'ADDRESS'),
      '',
      'addresses of this node (default: every global address of its interfaces)',
    ),
    runDirectory: setting('run-dir', path('DIR'), '/run/groundwire', 'sockets, locks and the pods of each node'),
  },

  /** What a part of the program keeps on disk. */
  state: {
    directory: setting(
      'state-dir',
      path('DIR'),
      '/var/lib/groundwire',
      'what survives a restart: the last good configuration; on a control plane the root key',
    ),
  },

  /** Where an agent gets its configuration and certificates. */
  upstream: {
    control: required('control', hostPort(), 'control plane (ours or istiod)'),
    tokenFile: required(
      'token-file',
      path('FILE'),
      'join token made by `groundwire control token`, or a plain JWT for istiod',
    ),
    rootCertificateFile: optional(
      'root-cert',
      path('FILE'),
      'PEM roots of the control plane (default: those in the token file)',
    ),
    serverName: optional(
      'control-name',
      text('NAME'),
      "name the control plane's certificate must have (default: the host of --control)",
    ),
    agentPod: optional(
      'agent-pod',
      dnsName(),
      'name of the pod that this agent is, for istiod (default: groundwire- and the name of the node)',
    ),
    agentNamespace: setting(
      'agent-namespace',
      namespaceName(),
      'groundwire-system',
      'namespace of that pod; istiod turns an agent away whose token is of another one',
    ),
    podRegistry: setting(
      'pod-registry',
      onOff(),
      'true',
      'report the pods of this node to the control plane (not with istiod)',
    ),
  },

  /** Where the kernel keeps what captures pods. */
  kernel: {
    bpfDirectory: optional('bpf-dir', path('DIR'), 'compiled eBPF objects (default: the build beside this program)'),
    bpffs: setting('bpffs', path('DIR'), '/sys/fs/bpf', 'mounted BPF file system; mounted there when it is not'),
    cgroupRoot: optional(
      'cgroup-root',
      path('DIR'),
      'mounted cgroup v2 hierarchy (default: found in /proc/self/mountinfo)',
    ),
  },

  /** The native engine. */
  engine: {
    workerThreads: setting(
      'worker-threads',
      integer(0, 64),
      '0',
      'threads that carry traffic; 0: one a core, at most 8',
    ),
    probeCgroup: optional('probe-cgroup', path('DIR'), 'cgroup of the kubelet, whose probes reach pods in plaintext'),
    resolvers: setting(
      'resolvers',
      listOf(parseIp, 'ADDRESS'),
      '',
      'upstream DNS servers (default: those of /etc/resolv.conf)',
    ),
    resolveFrom: optional(
      'resolve-from',
      oneOf('pod', 'node'),
      "whose network namespace they are asked from, but for one on a loopback address, which is the node's (default: pod with --pod-registry=false, else node)",
    ),
    connectTimeoutMs: setting(
      'connect-timeout',
      duration('100ms', '5m'),
      '10s',
      "for a TCP connection to a destination, and for a free place in a peer's tunnels; the peer has twice as long for its answer",
    ),
    tlsTimeoutMs: setting('tls-timeout', duration('100ms', '5m'), '10s', 'for a TLS handshake'),
    verdictTimeoutMs: setting(
      'verdict-timeout',
      duration('10ms', '1m'),
      '5s',
      'for a decision; a connection without one is refused',
    ),
    verdictQueueMax: setting(
      'verdict-queue',
      integer(1, 65_536),
      '1024',
      'connections of one pod that may wait for a decision, in each worker thread',
    ),
    connectionsMax: setting(
      'connections-max',
      integer(16, 131_072),
      '65536',
      'live connections of this agent, fewer where the limit of open files is below 2.3 times as many; a pod may have as many as are still free, alone half',
    ),
    streamsPerTunnelMax: setting('streams-per-tunnel', integer(1, 1000), '100', 'connections that share one tunnel'),
    tunnelsAcceptedMax: setting(
      'tunnels-max',
      integer(16, 65_536),
      '8192',
      "tunnels that peers may hold open, in each worker thread; a peer's address may have as many as are still free",
    ),
    tunnelIdleMs: setting('tunnel-idle', duration('1s', '24h'), '5m', 'an unused tunnel is closed after this'),
    streamWindowBytes: setting(
      'stream-window',
      bytes('64Ki', '64Mi'),
      '4Mi',
      'HTTP/2 window of one connection, at most: it is less until the connection is read, and as --kept-memory fills',
    ),
    connectionWindowBytes: setting('tunnel-window', bytes('64Ki', '256Mi'), '16Mi', 'HTTP/2 window of one tunnel'),
    keptMemoryBytes: optional(
      'kept-memory',
      bytes('16Mi', '2048Mi'),
      'for bytes that wait for readers that do not read; a pod gets as much as is free for others, alone half (default: a sixteenth of the memory, from 64Mi to 256Mi)',
    ),
    pingIntervalMs: setting('ping-interval', duration('1s', '1h'), '10s', 'between HTTP/2 PINGs on a tunnel'),
    pingTimeoutMs: setting(
      'ping-timeout',
      duration('100ms', '5m'),
      '20s',
      'a peer that does not answer a PING is gone',
    ),
    drainDeadlineMs: setting(
      'drain-deadline',
      duration('0s', '1h'),
      '5s',
      'live connections may go on this long when a pod or the agent leaves',
    ),
  },

  /** Pods of this node. */
  pods: {
    source: setting(
      'pods',
      oneOf('run', 'kubernetes'),
      'run',
      'where they come from: `groundwire run`, or the API server of Kubernetes, and then --pod-registry is false',
    ),
    cidrs: setting(
      'pod-cidr',
      rangePerFamily(),
      '',
      'addresses for pods of this node (default: assigned by the control plane)',
    ),
    clusterDns: setting(
      'cluster-dns',
      listOf(parseIp, 'ADDRESS'),
      '',
      "DNS servers written into the pods' resolv.conf (default: --resolvers but those on a loopback address)",
    ),
    ownsClusterDomain: setting(
      'dns-authority',
      onOff(),
      'true',
      'a Service or pod below --cluster-domain that the mesh lacks does not exist; false beside a kube-dns: ask upstream',
    ),
    mtu: setting('pod-mtu', integer(576, 65_535), '1500', "MTU of the pods' links"),
    decisionTimeoutMs: setting(
      'decision-timeout',
      duration('100ms', '5m'),
      '15s',
      'for the control plane to say whether a new pod belongs to the mesh; the pod is not started without it',
    ),
    captureTimeoutMs: setting(
      'capture-timeout',
      duration('100ms', '5m'),
      '30s',
      'for a new pod that belongs to the mesh to be captured, and known to this node; it is not started before',
    ),
    releaseGraceMs: setting(
      'release-grace',
      duration('0s', '1m'),
      '250ms',
      'between the moment nobody dials a leaving pod through the mesh any more and its release',
    ),
    releaseWaitMs: setting('release-wait', duration('0s', '10m'), '30s', 'how long to wait for that moment'),
  },

  /** What an agent leaves when it is stopped. */
  exit: {
    keepPods: setting(
      'keep-pods',
      onOff(),
      'true',
      'pods outlive a stopped agent, still captured; false: they are ended and removed with it',
    ),
  },

  /** The agent's own HTTP. */
  api: {
    admin: setting('api-listen', loopbackHostPort(), '127.0.0.1:15000', 'status API, to be read only'),
    ready: setting('ready-listen', hostPort(), '0.0.0.0:15021', 'readiness; [::]:15021 is both families'),
    metrics: setting('metrics-listen', hostPort(), '0.0.0.0:15020', 'Prometheus metrics, likewise'),
  },

  /** Logs. */
  log: {
    level: setting('log-level', oneOf(...LOG_LEVELS), 'info', 'the least important level that is written'),
    format: setting('log-format', oneOf('text', 'json'), 'text', 'form of log and access-log lines'),
  },

  /** The log of connections. */
  accessLog: {
    enabled: setting('access-log', onOff(), 'true', 'one line a connection'),
    podLinesMax: setting(
      'access-log-pod-lines',
      integer(0, 1_000_000),
      '1000',
      'lines of one pod a second; how many more there were is one line. 0: no bound',
    ),
  },

  /** Where one machine's mesh is written down. */
  directory: {
    manifests: required('manifests', path('DIR'), MANIFESTS_HELP),
  },

  /** Where a control plane reads the mesh: one of the two. */
  source: {
    manifests: optional('manifests', path('DIR'), `${MANIFESTS_HELP}; or --kube`),
    kube: setting(
      'kube',
      onOff(),
      'false',
      'read the mesh from the API server of Kubernetes, in the place of --manifests',
    ),
    agentAccounts: setting(
      'agent-accounts',
      listOf(parseAccount, 'NAMESPACE/NAME'),
      'groundwire-system/groundwire-agent',
      'with --kube: service accounts whose pods are agents, each of its own node',
    ),
    tokenAudiences: setting(
      'token-audience',
      listOf(parseText, 'NAME'),
      'groundwire,istio-ca',
      "with --kube: an agent's token must be made for one of these",
    ),
    namespace: setting(
      'control-namespace',
      namespaceName(),
      'groundwire-system',
      "with --kube: where the control plane keeps the mesh's root, as the Secret groundwire-ca",
    ),
  },

  /** The API server of Kubernetes. */
  kubernetes: {
    kubeconfig: optional(
      'kubeconfig',
      path('FILE'),
      'how the API server is reached, by token or certificate (default: as the pod that this process runs in)',
    ),
  },

  /** The control plane. */
  control: {
    listen: setting('listen', hostPort(), '0.0.0.0:15012', 'xDS, certificates and pod registry, over TLS'),
    monitoring: setting(
      'monitoring-listen',
      hostPort(),
      '127.0.0.1:15014',
      'Prometheus metrics and readiness of the control plane',
    ),
    serverNames: setting(
      'server-name',
      listOf(parseText, 'NAME'),
      '',
      "further names and addresses in the server's certificate (default: host name, localhost, the listen address)",
    ),
    clusterCidrs: setting(
      'cluster-cidr',
      rangePerFamily(),
      '10.244.0.0/16',
      'addresses of all pods; each node without --pod-cidr gets a part of it',
    ),
    nodeGraceMs: setting(
      'node-grace',
      duration('1s', '7d'),
      '5m',
      'the pods of a node that is cut off stay as they are for this long; then they are unhealthy until it is back',
    ),
    nodeForgetMs: setting(
      'node-forget',
      duration('1s', '3650d'),
      '30d',
      'after this, too, they are removed, and another node may get its part of --cluster-cidr; what is sent to their addresses later is not carried by the mesh',
    ),
    tokenLineMaxMs: setting(
      'token-line-max',
      duration('1m', '3650d'),
      '90d',
      'the join token of an attached node is renewed until it, or the first one that it came from, is this old; then the node needs another one',
    ),
  },

  /** What agents and control plane of a mesh must agree on. */
  mesh: {
    trustDomain: setting('trust-domain', trustDomain(), 'cluster.local', 'domain of the identities'),
    clusterId: setting('cluster-id', text('NAME'), 'Kubernetes', 'name of this cluster in workload ids and metrics'),
    clusterDomain: setting(
      'cluster-domain',
      dnsName(),
      'cluster.local',
      'domain of Service names; the search list of pods ends in it',
    ),
    certificateTtlMs: setting(
      'certificate-ttl',
      duration('2s', '90d'),
      '24h',
      "lifetime of a workload's certificate; renewed at half of it",
    ),
  },

  /** What the control plane decides for all. */
  defaults: {
    rootNamespace: setting(
      'root-namespace',
      namespaceName(),
      'istio-system',
      'policies of this namespace apply to the whole mesh',
    ),
    serviceCidr: setting(
      'service-cidr',
      rangePerFamily(),
      '10.96.0.0/16,fd96::/112',
      'addresses for Services that have none of their own, of each family that a Service asks for',
    ),
    sameNodeMode: setting(
      'same-node-mode',
      oneOf('handoff', 'tunnel'),
      'handoff',
      'how two pods of one node talk; pods and namespaces may say otherwise',
    ),
    existingConnections: setting(
      'existing-connections',
      oneOf('keep', 'close'),
      'keep',
      "connections that are older than their pod's capture",
    ),
  },

  /** A join token. */
  token: {
    for: required('node', dnsName(), 'the node that may join with it'),
    out: optional('out', path('FILE'), 'write it there, for its owner alone (0600), instead of to standard output', {
      flagOnly: true,
    }),
    ttlMs: setting(
      'ttl',
      duration('1s', '3650d'),
      '24h',
      'the token is valid for this long, at most --token-line-max; an attached node is given a new one in time, up to that of the control plane',
    ),
    lineMaxMs: setting(
      'token-line-max',
      duration('1m', '3650d'),
      '90d',
      'as the control plane has it: no token is made that is valid for longer',
    ),
    stateDirectory: setting(
      'state-dir',
      path('DIR'),
      '/var/lib/groundwire',
      'state directory of the control plane, with its root key',
    ),
    trustDomain: setting('trust-domain', trustDomain(), 'cluster.local', 'domain of the identities'),
    init: setting('init', onOff(), 'false', 'make root and keys where no control plane has run yet', {
      flagOnly: true,
    }),
  },

  /** Which agent a command talks to. */
  target: {
    node: optional('node', dnsName(), 'the agent of this node (default: the only one on this machine)'),
    socket: optional('socket', path('FILE'), 'its socket, instead of --node'),
    runDirectory: setting('run-dir', path('DIR'), '/run/groundwire', 'where agents keep their sockets'),
  },

  /** How a command prints. */
  output: {
    format: setting('output', oneOf('table', 'json', 'yaml'), 'table', 'form of the answer', { short: 'o' }),
  },

  /** The pod that `groundwire run` starts. */
  run: {
    namespace: setting('namespace', namespaceName(), 'default', 'namespace of the pod', { short: 'n', flagOnly: true }),
    name: required('name', dnsName(), 'name of the pod', { flagOnly: true }),
    serviceAccount: setting('service-account', dnsName(), 'default', 'service account, and so identity, of the pod', {
      flagOnly: true,
    }),
    labels: setting('label', pairs(parseLabelValue, 'KEY=VALUE', parseKey), '', 'a label; may be repeated', {
      short: 'l',
      flagOnly: true,
    }),
    annotations: setting('annotation', pairs(parseText, 'KEY=VALUE', parseKey), '', 'an annotation; may be repeated', {
      flagOnly: true,
    }),
    subdomain: optional(
      'subdomain',
      namespaceName(),
      'a headless Service that selects the pod: the pod has its name below that of the Service',
      { flagOnly: true },
    ),
    ports: setting('port', pairs(parsePort, 'NAME=NUMBER'), '', 'a named port of the pod; may be repeated', {
      short: 'p',
      flagOnly: true,
    }),
  },

  /** What `groundwire explain` asks. */
  explain: {
    from: required('from', text('NAMESPACE/POD|ADDRESS'), 'the source', {
      flagOnly: true,
    }),
    to: required('to', hostPort('ADDRESS|SERVICE:PORT'), 'the destination', {
      flagOnly: true,
    }),
    direction: setting(
      'direction',
      oneOf('outbound', 'inbound'),
      'outbound',
      'ask where it would go, or whether it would be let in',
      { flagOnly: true },
    ),
  },

  /** What every command takes. */
  common: {
    help: setting('help', onOff(), 'false', 'print this', {
      short: 'h',
      flagOnly: true,
    }),
  },
} as const;

export type Table = typeof TABLE;
export type PartName = keyof Table;

type ValueOf<S> = S extends Setting<infer T> ? T : never;

/** The values of one part. */
export type Part<P extends PartName> = {
  readonly [K in keyof Table[P]]: ValueOf<Table[P][K]>;
};

/** The values of the parts that a command takes; deeply frozen. */
export type Config<P extends PartName> = { readonly [K in P]: Part<K> };

/** The settings of a part, without their types: for help, docs and checks. */
export function settingsOf(part: PartName): ReadonlyMap<string, Setting<unknown>> {
  return new Map(Object.entries(TABLE[part] as Readonly<Record<string, Setting<unknown>>>));
}

export const PART_NAMES = Object.keys(TABLE) as readonly PartName[];
