// SPDX-License-Identifier: Apache-2.0

import { until } from '../src/harness/shell.ts';
import { type NodeLetter, type PodShell, TwoNodeMesh } from '../src/harness/two-node-mesh.ts';
import { setSysctls } from '../src/harness/two-nodes.ts';
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

const LOAD_TIMEOUT_MS = 120_000;

export interface MeshPaths {
  readonly paths: Path[];
  readonly idle: IdlePlace;
}

/** Opens a mesh of its own beside the peers' namespaces: a client on node A, a server on each node. */
export async function openMeshPaths(program: string, closers: (() => Promise<void>)[]): Promise<MeshPaths> {
  const mesh = await TwoNodeMesh.prepare(
    'benchmesh',
    { subnet: 79, agentFlags: ['--worker-threads', String(PROXY_THREADS), '--access-log=false', '--keep-pods=false'] },
    MANIFESTS,
  );
  closers.push(async () => {
    const left = await mesh.close();
    if (left.length > 0) throw new Error(`the benchmark left behind: ${left.join(', ')}`);
  });
  for (const node of [mesh.nodes.a, mesh.nodes.b]) await setSysctls(node.netns, CONNECTION_RATE_SYSCTLS);
  await mesh.startControl();
  await Promise.all([mesh.startAgent('a'), mesh.startAgent('b')]);

  const client = await openPod(mesh, 'a', 'client');
  const far = await serve(await openPod(mesh, 'b', 'far'), program);
  const near = await serve(await openPod(mesh, 'a', 'near'), program);
  const inClient = async (command: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await client.exec(command.join(' '), LOAD_TIMEOUT_MS);
    if (code !== 0)
      throw new Error(`${command.join(' ')} ended with status ${code} in the client pod: ${stderr.trim()}`);
    return stdout;
  };
  for (const address of [far, near]) {
    await until(`${address} answers through the mesh`, async () => {
      await inClient([program, 'latency', address, String(ECHO_PORT), '100', '0.1']);
      return true;
    });
  }
  const agents = (['a', 'b'] as const).map((letter) => mesh.agent(letter).child.pid).filter((pid) => pid !== undefined);
  const path = (row: string, address: string, proxies: readonly number[]): Path => ({
    row,
    inClient,
    address,
    port: SWALLOW_PORT,
    proxies,
  });
  return {
    paths: [path(ROWS.acrossNodes, far, agents), path(ROWS.sameNode, near, agents.slice(0, 1))],
    idle: {
      asPod: (command) => mesh.runCommand({ node: 'a', namespace: 'bench', name: 'idle' }, command),
      address: far,
      port: ECHO_PORT,
      agents,
    },
  };
}

async function openPod(mesh: TwoNodeMesh, node: NodeLetter, name: string): Promise<PodShell> {
  const pod = mesh.openShell({ node, namespace: 'bench', name, serviceAccount: name });
  for (const [key, value] of Object.entries(CONNECTION_RATE_SYSCTLS)) {
    const { code, stderr } = await pod.exec(`echo '${value}' > /proc/sys/net/${key.replaceAll('.', '/')}`);
    if (code !== 0) throw new Error(`pod ${name}: ${stderr.trim()}`);
  }
  return pod;
}

/** Starts the load server inside a pod. Returns the pod's address. */
async function serve(pod: PodShell, program: string): Promise<string> {
  const [address] = await pod.addresses();
  if (address === undefined) throw new Error('the server pod has no address');
  await pod.exec(`${program} serve ${address} ${SWALLOW_PORT} > /dev/null 2>&1 &`);
  return address;
}
