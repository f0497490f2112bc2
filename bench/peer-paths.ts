// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { must, run, start, until } from '../src/harness/shell.ts';
import {
  closeTwoNodes,
  describeTwoNodes,
  onNode,
  openTwoNodes,
  setSysctls,
  type TwoNodes,
} from '../src/harness/two-nodes.ts';
import { ROWS } from './goals.ts';
import { ECHO_PORT, SWALLOW_PORT } from './load.ts';
import type { Path } from './measure.ts';
import { haproxyPair, makeCertificates, nginxPair } from './peers.ts';
import { CONNECTION_RATE_SYSCTLS, closePlainPod, openPlainPod, type PlainPod } from './pods.ts';

export const BENCH_NODES: TwoNodes = describeTwoNodes('bench', 78);
const CLIENT_HOST = 201;
const SERVER_HOST = 202;

/** Waits until something accepts on `address:port`, seen from a namespace. */
export async function waitForPort(netns: string, address: string, port: number): Promise<void> {
  await until(`a listener on ${address}:${port}`, async () => {
    const probe = await run(
      ['nsenter', `--net=/run/netns/${netns}`, '--', 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`],
      { timeoutMs: 2000 },
    );
    return probe.code === 0 ? true : undefined;
  });
}

/** A pair that does not encrypt, or with another cipher, would be no measure for ours. */
async function assertCipher(nodes: TwoNodes, tlsPort: number, directory: string): Promise<void> {
  const file = (name: string) => join(directory, name);
  const said = await must(
    onNode(nodes.a, [
      'openssl',
      's_client',
      '-connect',
      `${nodes.b.address}:${tlsPort}`,
      '-cert',
      file('client.pem'),
      '-key',
      file('client.key'),
      '-CAfile',
      file('root.pem'),
      '-verify_return_error',
    ]),
  );
  if (!said.includes('TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256'))
    throw new Error(`port ${tlsPort} does not speak TLS 1.3 with AES-128-GCM: ${said}`);
}

/** Opens the two nodes, a client and a server in plain pods, and a pair of each peer between them. */
export async function openPeerPaths(
  program: string,
  directory: string,
  closers: (() => Promise<void>)[],
): Promise<Path[]> {
  const nodes = BENCH_NODES;
  await closeTwoNodes(nodes);
  for (const node of [nodes.a, nodes.b])
    for (const name of ['client', 'server']) await run(['ip', 'netns', 'delete', `${node.netns}-${name}`]);
  closers.push(() => closeTwoNodes(nodes));
  await openTwoNodes(nodes);
  for (const node of [nodes.a, nodes.b]) await setSysctls(node.netns, CONNECTION_RATE_SYSCTLS);
  const pods: PlainPod[] = [];
  closers.push(async () => {
    for (const pod of pods) await closePlainPod(pod);
  });
  const client = await openPlainPod(nodes.a, 'client', CLIENT_HOST);
  pods.push(client);
  const server = await openPlainPod(nodes.b, 'server', SERVER_HOST);
  pods.push(server);

  const background = (command: [string, ...string[]], log: string) => {
    const process = start(command, join(directory, `${log}.log`));
    closers.push(async () => void (await process.stop()));
    return process;
  };
  background(
    ['nsenter', `--net=/run/netns/${server.netns}`, '--', program, 'serve', server.address, String(SWALLOW_PORT)],
    'server',
  );
  await waitForPort(client.netns, server.address, ECHO_PORT);

  const inClient = (command: readonly string[]) =>
    must(['nsenter', `--net=/run/netns/${client.netns}`, '--', ...command], { timeoutMs: 120_000 });

  await makeCertificates(directory);
  const paths: Path[] = [{ row: ROWS.raw, inClient, address: server.address, port: SWALLOW_PORT, proxies: [] }];
  for (const pair of [haproxyPair, nginxPair]) {
    const peer = pair({ nodes, serverAddress: server.address, directory });
    const near = background(onNode(nodes.a, peer.clientSide), `${peer.row.replaceAll(' ', '-')}-client`);
    const far = background(onNode(nodes.b, peer.serverSide), `${peer.row.replaceAll(' ', '-')}-server`);
    await waitForPort(client.netns, nodes.a.address, peer.clientPort);
    await waitForPort(nodes.a.netns, nodes.b.address, peer.tlsPort);
    await assertCipher(nodes, peer.tlsPort, directory);
    const proxies = [near, far].map((process) => process.child.pid).filter((pid) => pid !== undefined);
    paths.push({ row: peer.row, inClient, address: nodes.a.address, port: peer.clientPort, proxies });
  }
  return paths;
}
