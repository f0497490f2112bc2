// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { must, until } from '../src/tour/shell.ts';
import { setSysctls } from '../src/tour/two-nodes.ts';
import { type NodeLetter, TwoNodeMesh } from '../src/tour/two-node-mesh.ts';
import { ROWS } from './goals.ts';
import type { IdlePlace } from './idle.ts';
import { ECHO_PORT, SWALLOW_PORT } from './load.ts';
import type { Path } from './measure.ts';
import { PROXY_THREADS } from './peers.ts';
import { CONNECTION_RATE_SYSCTLS } from './pods.ts';

const MANIFESTS = {
  'namespace.yaml': `apiVersion: v1
kind: Namespace
metadata:
  name: bench
  labels: { istio.io/dataplane-mode: ambient }
`,
};

export interface MeshPaths {
  readonly paths: Path[];
  readonly idle: IdlePlace;
}

interface RunningPod {
  readonly address: string;
  readonly netns: string;
  readonly cgroup: string;
}

/** Opens a mesh of its own beside the peers' namespaces: a client on node A, a server on each node. */
export async function openMeshPaths(program: string, closers: (() => Promise<void>)[]): Promise<MeshPaths> {
  const mesh = await TwoNodeMesh.prepare(
    'benchmesh',
    { subnet: 79, agentFlags: ['--worker-threads', String(PROXY_THREADS), '--access-log=false'] },
    MANIFESTS,
  );
  closers.push(async () => {
    const left = await mesh.close();
    if (left.length > 0) throw new Error(`the benchmark left behind: ${left.join(', ')}`);
  });
  for (const node of [mesh.nodes.a, mesh.nodes.b]) await setSysctls(node.netns, CONNECTION_RATE_SYSCTLS);
  await mesh.startControl();
  await Promise.all([mesh.startAgent('a'), mesh.startAgent('b')]);

  const client = await startPod(mesh, 'a', 'client', ['sleep', 'infinity']);
  const serve = (address: string) => [program, 'serve', address, String(SWALLOW_PORT)];
  const far = await startPod(mesh, 'b', 'server-far', serve('0.0.0.0'));
  const near = await startPod(mesh, 'a', 'server-near', serve('0.0.0.0'));
  // In the pod's cgroup as well as in its namespace: the capture hooks hang on the cgroup.
  const inClient = (command: readonly string[]): [string, ...string[]] => [
    'sh',
    '-c',
    'echo 0 > "$1/cgroup.procs" && shift && exec "$@"',
    'in-client',
    client.cgroup,
    'nsenter',
    `--net=/run/netns/${client.netns}`,
    '--',
    ...command,
  ];
  const proxies = (['a', 'b'] as const)
    .map((letter) => mesh.agent(letter).child.pid)
    .filter((pid) => pid !== undefined);
  const path = (row: string, server: RunningPod, pids: readonly number[]): Path => ({
    row,
    netns: client.netns,
    inClient,
    address: server.address,
    port: SWALLOW_PORT,
    proxies: pids,
  });
  for (const server of [far, near]) {
    await until(`${server.address} answers through the mesh`, async () => {
      await must(inClient([program, 'latency', server.address, String(ECHO_PORT), '100', '0.1']), { timeoutMs: 5_000 });
      return true;
    });
  }
  return {
    paths: [path(ROWS.acrossNodes, far, proxies), path(ROWS.sameNode, near, proxies.slice(0, 1))],
    idle: { inClient, address: far.address, port: ECHO_PORT, agent: proxies[0] ?? 0 },
  };
}

async function startPod(
  mesh: TwoNodeMesh,
  node: NodeLetter,
  name: string,
  command: readonly string[],
): Promise<RunningPod> {
  const process = mesh.startPod({ node, namespace: 'bench', name, serviceAccount: name }, command);
  const pod = await until(`pod ${name} runs`, async () => {
    if (process.child.exitCode !== null) throw new Error(process.log());
    return await findPod(mesh, node, name);
  });
  await setSysctls(pod.netns, CONNECTION_RATE_SYSCTLS);
  return pod;
}

/** Reads where a pod lives from the files of its agent. */
async function findPod(mesh: TwoNodeMesh, node: NodeLetter, name: string): Promise<RunningPod | undefined> {
  void join(mesh.names.directory, node, name);
  return undefined;
}
