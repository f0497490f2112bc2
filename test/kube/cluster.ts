// SPDX-License-Identifier: Apache-2.0

// A real Kubernetes of two nodes on this machine:
//
//   gw-kube-net   a bridge, 10.200.0.0/24
//   gw-kube-cp    10.200.0.1    etcd, API server, controller manager, scheduler, CoreDNS
//   gw-kube-n1    10.200.0.11   containerd, kubelet, kube-proxy; pods 10.201.1.0/24
//   gw-kube-n2    10.200.0.12   likewise;                        pods 10.201.2.0/24
//
// Each node has a mount namespace of its own, for /run/containerd, /var/lib/kubelet, /run/groundwire and bpffs, and a
// cgroup of its own in every hierarchy.

import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Background, must, type Outcome, type RunOptions, run, start, until } from '#src/harness/shell.ts';

const PREFIX = 'gw-kube';
const DIRECTORY = `/run/${PREFIX}`;
const CONTROL = { netns: `${PREFIX}-cp`, address: '10.200.0.1' } as const;
const BRIDGE = `${PREFIX}-net`;
const SERVICES = '10.202.0.0/16';
const DNS_ADDRESS = CONTROL.address;
const API = `https://${CONTROL.address}:6443`;

export interface ClusterNode {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
  readonly podCidr: string;
}

export const NODES: readonly ClusterNode[] = [1, 2].map((n) => ({
  name: `n${n}`,
  netns: `${PREFIX}-n${n}`,
  address: `10.200.0.1${n}`,
  podCidr: `10.201.${n}.0/24`,
}));

type Command = [string, ...string[]];

/** The programs of one node that runs. */
interface RunningNode {
  /** Holds the mount namespace. */
  readonly holder: Background;
  containerd?: Background;
  kubelet?: Background;
  proxy?: Background;
}

/** A cluster that runs; `close` takes all of it away. */
export class Cluster {
  readonly directory = DIRECTORY;
  readonly #bin: string;
  readonly #parts: Background[] = [];
  readonly #nodes = new Map<string, RunningNode>();

  private constructor(bin: string) {
    this.#bin = bin;
  }

  /** Sweeps what an earlier run left, and resolves when both nodes are ready. `bin`: the programs of Kubernetes. */
  static async open(bin: string): Promise<Cluster> {
    await sweep();
    const cluster = new Cluster(bin);
    try {
      mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
      await makeNetwork();
      await cluster.#startControl();
      await Promise.all(NODES.map((node) => cluster.#startNode(node)));
      await until('both nodes are ready', () => cluster.#readyNodes(), 120_000, 500);
      return cluster;
    } catch (error) {
      const logs = cluster.tails();
      await cluster.close();
      throw new Error(`the cluster did not start\n${logs}`, { cause: error });
    }
  }

  kubeconfig(): string {
    return join(DIRECTORY, 'admin.kubeconfig');
  }

  /** kubectl as the administrator; rejects for an exit status other than 0. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string> {
    return must(this.#kubectl(args), options);
  }

  tryKubectl(args: readonly string[], options?: RunOptions): Promise<Outcome> {
    return run(this.#kubectl(args), options);
  }

  /** Applies YAML, and waits for nothing. */
  apply(yaml: string): Promise<string> {
    return this.kubectl(['apply', '--server-side', '-f', '-'], { input: yaml });
  }

  /** Brings an image archive to both nodes, under the name that it has in it. */
  async importImage(archive: string): Promise<void> {
    await Promise.all(
      NODES.map((node) =>
        must(this.onNode(node, ['ctr', '-n', 'k8s.io', 'images', 'import', archive]), { timeoutMs: 300_000 }),
      ),
    );
  }

  /** A command on a node: in its network and mount namespaces. */
  onNode(node: ClusterNode, command: readonly string[]): Command {
    const running = this.#nodes.get(node.name);
    if (running === undefined) throw new Error(`node ${node.name} does not run`);
    return ['nsenter', '-t', String(running.holder.child.pid), '-m', '-n', '--', ...command];
  }

  async restartKubelet(node: ClusterNode): Promise<void> {
    await this.#nodes.get(node.name)?.kubelet?.stop();
    this.#startKubelet(node);
  }

  async restartContainerd(node: ClusterNode): Promise<void> {
    await this.#nodes.get(node.name)?.containerd?.stop();
    await this.#startContainerd(node);
  }

  /** The last lines of every program's log, for whoever wonders. */
  tails(): string {
    const logs = existsSync(DIRECTORY) ? readdirSync(DIRECTORY).filter((name) => name.endsWith('.log')) : [];
    return logs
      .map((name) => `--- ${name}\n${readFileSync(join(DIRECTORY, name), 'utf8').split('\n').slice(-15).join('\n')}`)
      .join('\n');
  }

  async close(): Promise<void> {
    for (const [, { kubelet, proxy }] of this.#nodes) await Promise.all([kubelet?.stop(), proxy?.stop()]);
    for (const node of NODES) if (this.#nodes.has(node.name)) await this.#endPods(node);
    for (const [, { containerd, holder }] of this.#nodes) {
      await containerd?.stop();
      await holder.stop('SIGKILL');
    }
    for (const part of this.#parts.toReversed()) await part.stop('SIGTERM', 3_000);
    await sweep();
  }

  #kubectl(args: readonly string[]): Command {
    return [
      'nsenter',
      `--net=/run/netns/${CONTROL.netns}`,
      '--',
      join(this.#bin, 'kubectl'),
      '--kubeconfig',
      this.kubeconfig(),
      ...args,
    ];
  }

  async #readyNodes(): Promise<true | undefined> {
    const { stdout } = await this.tryKubectl([
      'get',
      'nodes',
      '-o',
      'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}',
    ]);
    return stdout.trim() === NODES.map(() => 'True').join(' ') ? true : undefined;
  }

  async #startControl(): Promise<void> {
    const token = await makeCredentials(this.kubeconfig());
    const file = (name: string): string => join(DIRECTORY, name);
    writeFileSync(file('tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 });
    this.#control('etcd', [
      'etcd',
      '--data-dir',
      file('etcd'),
      '--listen-client-urls',
      'http://127.0.0.1:2379',
      '--advertise-client-urls',
      'http://127.0.0.1:2379',
      '--listen-peer-urls',
      'http://127.0.0.1:2380',
    ]);
    this.#control('apiserver', [
      join(this.#bin, 'kube-apiserver'),
      '--etcd-servers=http://127.0.0.1:2379',
      `--advertise-address=${CONTROL.address}`,
      `--bind-address=${CONTROL.address}`,
      `--service-cluster-ip-range=${SERVICES}`,
      `--tls-cert-file=${file('api.crt')}`,
      `--tls-private-key-file=${file('api.key')}`,
      `--client-ca-file=${file('ca.crt')}`,
      `--token-auth-file=${file('tokens.csv')}`,
      '--authorization-mode=Node,RBAC',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-signing-key-file=${file('sa.key')}`,
      `--service-account-key-file=${file('sa.pub')}`,
      '--api-audiences=https://kubernetes.default.svc.cluster.local,groundwire,istio-ca',
      '--allow-privileged=true',
      '--kubelet-preferred-address-types=InternalIP',
    ]);
    await until(
      'the API server is ready',
      async () => ((await this.tryKubectl(['get', '--raw', '/readyz'])).code === 0 ? true : undefined),
      90_000,
      300,
    );
    const kubeconfig = `--kubeconfig=${this.kubeconfig()}`;
    this.#control('controller-manager', [
      join(this.#bin, 'kube-controller-manager'),
      kubeconfig,
      '--leader-elect=false',
      `--root-ca-file=${file('ca.crt')}`,
      `--service-account-private-key-file=${file('sa.key')}`,
      '--use-service-account-credentials=true',
      `--cluster-signing-cert-file=${file('ca.crt')}`,
      `--cluster-signing-key-file=${file('ca.key')}`,
    ]);
    this.#control('scheduler', [join(this.#bin, 'kube-scheduler'), kubeconfig, '--leader-elect=false']);
    writeFileSync(
      file('Corefile'),
      `.:53 {\n  bind ${DNS_ADDRESS}\n  errors\n  kubernetes cluster.local in-addr.arpa ip6.arpa {\n    kubeconfig ${this.kubeconfig()} admin\n    pods insecure\n  }\n}\n`,
    );
    this.#control('coredns', [join(this.#bin, 'coredns'), '-conf', file('Corefile')]);
  }

  #control(name: string, command: Command): void {
    const inNetns: Command = ['nsenter', `--net=/run/netns/${CONTROL.netns}`, '--', ...command];
    this.#parts.push(start(inNetns, join(DIRECTORY, `${name}.log`)));
  }

  async #startNode(node: ClusterNode): Promise<void> {
    const own = join(DIRECTORY, node.name);
    for (const name of ['cni', 'kubelet', 'containerd', 'cni-bin', 'groundwire', 'state', 'netns'])
      mkdirSync(join(own, name), { recursive: true });
    makeCgroups(node);
    const log = join(DIRECTORY, `${node.name}-holder.log`);
    const holder = start(
      ['nsenter', `--net=/run/netns/${node.netns}`, '--', 'unshare', '-m', 'sh', '-euc', mountsOf(own)],
      log,
    );
    this.#nodes.set(node.name, { holder });
    await until(`node ${node.name} has its mounts`, () => existsSync(join(own, 'mounted')) || undefined, 10_000, 50);
    writeFileSync(join(own, 'cni/10-bridge.conflist'), cniConfig(node));
    for (const plugin of readdirSync('/usr/lib/cni'))
      await must(['cp', '-f', join('/usr/lib/cni', plugin), join(own, 'cni-bin', plugin)]);
    await this.#startContainerd(node);
    this.#startKubelet(node);
    const running = this.#running(node);
    running.proxy = start(
      this.onNode(node, [
        join(this.#bin, 'kube-proxy'),
        `--kubeconfig=${this.kubeconfig()}`,
        `--hostname-override=${node.name}`,
        '--proxy-mode=iptables',
        '--conntrack-max-per-core=0',
        '--conntrack-tcp-timeout-established=0',
        '--conntrack-tcp-timeout-close-wait=0',
        `--healthz-bind-address=${node.address}:10256`,
        `--metrics-bind-address=${node.address}:10249`,
      ]),
      join(DIRECTORY, `${node.name}-proxy.log`),
    );
  }

  #running(node: ClusterNode): RunningNode {
    const running = this.#nodes.get(node.name);
    if (running === undefined) throw new Error(`node ${node.name} does not run`);
    return running;
  }

  async #startContainerd(node: ClusterNode): Promise<void> {
    const own = join(DIRECTORY, node.name);
    const config = join(own, 'containerd.toml');
    writeFileSync(config, containerdConfig(own));
    this.#running(node).containerd = start(
      inCgroup(node, 'runtime', this.onNode(node, ['containerd', '--config', config])),
      join(DIRECTORY, `${node.name}-containerd.log`),
    );
    await until(
      `containerd of ${node.name} answers`,
      async () => ((await run(this.onNode(node, ['ctr', 'version']))).code === 0 ? true : undefined),
      30_000,
      200,
    );
  }

  #startKubelet(node: ClusterNode): void {
    const own = join(DIRECTORY, node.name);
    const config = join(own, 'kubelet.yaml');
    writeFileSync(config, kubeletConfig(node));
    this.#running(node).kubelet = start(
      inCgroup(
        node,
        'kubelet',
        this.onNode(node, [
          join(this.#bin, 'kubelet'),
          `--kubeconfig=${this.kubeconfig()}`,
          `--config=${config}`,
          `--hostname-override=${node.name}`,
          `--node-ip=${node.address}`,
          '--container-runtime-endpoint=unix:///run/containerd/containerd.sock',
        ]),
      ),
      join(DIRECTORY, `${node.name}-kubelet.log`),
    );
  }

  async #endPods(node: ClusterNode): Promise<void> {
    const { stdout } = await run(this.onNode(node, ['ctr', '-n', 'k8s.io', 'tasks', 'list', '-q']));
    for (const task of stdout.split('\n').filter((line) => line !== ''))
      await run(this.onNode(node, ['ctr', '-n', 'k8s.io', 'tasks', 'kill', '-a', '-s', 'SIGKILL', task]));
    for (const task of stdout.split('\n').filter((line) => line !== ''))
      await run(this.onNode(node, ['ctr', '-n', 'k8s.io', 'tasks', 'delete', '-f', task]));
  }
}

// Debian's own keeps its files elsewhere, and each node has another.
function mountsOf(own: string): string {
  return [
    'mount --make-rprivate /',
    'mount --make-rshared /',
    'mkdir -p /run/containerd /etc/cni/net.d /var/lib/kubelet /run/groundwire /var/lib/groundwire /run/netns /var/run/netns',
    'mount -t tmpfs tmpfs /run/containerd',
    'mount --make-shared /run/containerd',
    `mount --bind ${own}/netns /run/netns`,
    'mount --make-shared /run/netns',
    `mount --bind ${own}/cni /etc/cni/net.d`,
    `mount --bind ${own}/kubelet /var/lib/kubelet`,
    'mount --make-shared /var/lib/kubelet',
    `mount --bind ${own}/groundwire /run/groundwire`,
    `mount --bind ${own}/state /var/lib/groundwire`,
    'mount -t bpf bpf /sys/fs/bpf',
    'mount --make-shared /sys/fs/bpf',
    `touch ${own}/mounted`,
    'exec sleep infinity',
  ].join('\n');
}

function containerdConfig(own: string): string {
  return `version = 2
root = "${own}/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "groundwire.test/pause:1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${own}/cni-bin"
    conf_dir = "/etc/cni/net.d"
`;
}

function kubeletConfig(node: ClusterNode): string {
  return `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /${PREFIX}-${node.name}
failSwapOn: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
evictionHard: { memory.available: "1Mi", nodefs.available: "1%" }
clusterDNS: ["${DNS_ADDRESS}"]
clusterDomain: cluster.local
authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }
authorization: { mode: AlwaysAllow }
address: ${node.address}
healthzBindAddress: ${node.address}
resolvConf: ""
registerWithTaints: []
nodeStatusUpdateFrequency: 4s
syncFrequency: 10s
`;
}

function cniConfig(node: ClusterNode): string {
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: { type: 'host-local', ranges: [[{ subnet: node.podCidr }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

async function makeNetwork(): Promise<void> {
  await must(['ip', 'netns', 'add', BRIDGE]);
  await must(['ip', '-n', BRIDGE, 'link', 'add', 'br0', 'type', 'bridge']);
  await must(['ip', '-n', BRIDGE, 'link', 'set', 'br0', 'up']);
  for (const { netns, address } of [CONTROL, ...NODES]) {
    const port = netns.slice(-2);
    await must(['ip', 'netns', 'add', netns]);
    await must(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
    await must(['ip', '-n', netns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', port, 'netns', BRIDGE]);
    await must(['ip', '-n', BRIDGE, 'link', 'set', port, 'master', 'br0', 'up']);
    await must(['ip', '-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
    await must(['ip', '-n', netns, 'link', 'set', 'eth0', 'up']);
    await must(['nsenter', `--net=/run/netns/${netns}`, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  }
  for (const { netns } of [CONTROL, ...NODES]) {
    for (const node of NODES) {
      if (node.netns !== netns) await must(['ip', '-n', netns, 'route', 'add', node.podCidr, 'via', node.address]);
    }
  }
  // A Service's address is translated once a route for it was found, so there must be one.
  for (const { netns } of NODES) await must(['ip', '-n', netns, 'route', 'add', 'default', 'via', CONTROL.address]);
  // From the control plane's machine they are reached by way of a node.
  const [first] = NODES;
  if (first !== undefined) await must(['ip', '-n', CONTROL.netns, 'route', 'add', SERVICES, 'via', first.address]);
}

/** The cluster's authority, the API server's certificate, the key of service accounts and an administrator. Returns its token. */
async function makeCredentials(kubeconfig: string): Promise<string> {
  const file = (name: string): string => join(DIRECTORY, name);
  const openssl = (...args: string[]): Promise<string> => must(['openssl', ...args]);
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=${PREFIX}`,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.crt'),
  );
  await openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/CN=kube-apiserver',
    '-keyout',
    file('api.key'),
    '-out',
    file('api.csr'),
  );
  writeFileSync(
    file('api.ext'),
    `subjectAltName=IP:${CONTROL.address},IP:10.202.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost\n`,
  );
  await openssl(
    'x509',
    '-req',
    '-days',
    '2',
    '-in',
    file('api.csr'),
    '-CA',
    file('ca.crt'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-extfile',
    file('api.ext'),
    '-out',
    file('api.crt'),
  );
  await openssl('genrsa', '-out', file('sa.key'), '2048');
  await openssl('rsa', '-in', file('sa.key'), '-pubout', '-out', file('sa.pub'));
  const token = (await openssl('rand', '-hex', '16')).trim();
  const ca = readFileSync(file('ca.crt')).toString('base64');
  writeFileSync(
    kubeconfig,
    `apiVersion: v1
kind: Config
current-context: admin
clusters: [{ name: kube, cluster: { server: "${API}", certificate-authority-data: ${ca} } }]
users: [{ name: admin, user: { token: "${token}" } }]
contexts: [{ name: admin, context: { cluster: kube, user: admin } }]
`,
    { mode: 0o600 },
  );
  return token;
}

const CGROUPS = '/sys/fs/cgroup';

function hierarchies(): string[] {
  return readdirSync(CGROUPS)
    .map((name) => join(CGROUPS, name))
    .filter((path) => existsSync(join(path, 'cgroup.procs')));
}

// Without a root of its own each kubelet takes the other's pods for orphans.
function makeCgroups(node: ClusterNode): void {
  for (const hierarchy of hierarchies()) {
    const own = join(hierarchy, `${PREFIX}-${node.name}`);
    mkdirSync(own, { recursive: true });
    for (const name of ['cpuset.cpus', 'cpuset.mems']) {
      if (existsSync(join(own, name))) writeFileSync(join(own, name), readFileSync(join(hierarchy, name)));
    }
  }
  for (const name of ['kubelet', 'runtime'])
    mkdirSync(join(unified(), `${PREFIX}-${node.name}`, name), { recursive: true });
}

function unified(): string {
  return existsSync(join(CGROUPS, 'unified/cgroup.procs')) ? join(CGROUPS, 'unified') : CGROUPS;
}

/** By its cgroup the kubelet is told from whoever else asks pods in plaintext. */
function inCgroup(node: ClusterNode, name: string, command: Command): Command {
  const procs = join(unified(), `${PREFIX}-${node.name}`, name, 'cgroup.procs');
  return ['sh', '-c', `echo $$ > ${procs}; exec "$@"`, 'sh', ...command];
}

/** Takes away what is there of a cluster, also one that died. */
export async function sweep(): Promise<void> {
  for (const node of NODES) await endProcesses(node);
  for (const name of [...NODES.map(({ netns }) => netns), CONTROL.netns, BRIDGE]) {
    if (existsSync(`/run/netns/${name}`)) await must(['ip', 'netns', 'delete', name]);
  }
  for (const hierarchy of hierarchies()) {
    for (const node of NODES) removeCgroup(join(hierarchy, `${PREFIX}-${node.name}`));
  }
  // An agent whose node ended with it leaves its cgroups: its pods were to find them again.
  for (const node of NODES) removeCgroup(join(unified(), 'groundwire', node.name));
  rmSync(DIRECTORY, { recursive: true, force: true });
}

// Shims and what they hold live in the node's cgroups: an agent leaves that of one hierarchy, never of all.
async function endProcesses(node: ClusterNode): Promise<void> {
  const own = hierarchies().map((hierarchy) => join(hierarchy, `${PREFIX}-${node.name}`));
  await until(
    `nothing runs on ${node.name} any more`,
    () => {
      const ids = own.filter((cgroup) => existsSync(cgroup)).flatMap(processesBelow);
      for (const id of ids) {
        try {
          process.kill(id, 'SIGKILL');
        } catch {
          // It has ended by itself.
        }
      }
      return ids.length === 0 || undefined;
    },
    15_000,
    100,
  );
}

function processesBelow(cgroup: string): number[] {
  const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && line !== '0')
    .map(Number);
  const children = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...own, ...children.flatMap(({ name }) => processesBelow(join(cgroup, name)))];
}

function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  rmdirSync(path);
}
