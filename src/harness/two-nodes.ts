// SPDX-License-Identifier: Apache-2.0

import { must, run } from './shell.ts';

/** A node: a network namespace with one end of the link and a range of addresses for its pods. */
export interface MeshNode {
  /** Name in the mesh, `tour-a`. */
  readonly name: string;
  readonly netns: string;
  /** Device of the link inside the namespace. */
  readonly device: string;
  readonly address: string;
  readonly address6: string;
  readonly podCidr: string;
  readonly podCidr6: string;
}

export interface TwoNodes {
  readonly a: MeshNode;
  readonly b: MeshNode;
}

/** Command line that runs something on a node. Not `ip netns exec`: that would hide the cgroup and bpf file systems. */
export function onNode(node: Pick<MeshNode, 'netns'>, command: readonly string[]): [string, ...string[]] {
  return ['nsenter', `--net=/run/netns/${node.netns}`, '--', ...command];
}

/** Writes network settings (`net.` is implied) of a namespace. */
export async function setSysctls(netns: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(settings).map(
    ([key, value]) => `printf '%s' '${value}' > /proc/sys/net/${key.replaceAll('.', '/')}`,
  );
  await must(['nsenter', `--net=/run/netns/${netns}`, '--', 'sh', '-ec', lines.join('\n')]);
}

function describeNode(mesh: string, letter: 'a' | 'b', subnet: number): MeshNode {
  const host = letter === 'a' ? 1 : 2;
  return {
    name: `${mesh}-${letter}`,
    netns: `gw-${mesh}-${letter}`,
    device: `link-${letter}`,
    address: `10.${subnet}.0.${host}`,
    address6: `fd77:${subnet}::${host}`,
    podCidr: `10.${subnet}.${host}.0/24`,
    podCidr6: `fd77:${subnet}:${host}::/64`,
  };
}

/** Names and addresses of the two nodes of mesh `mesh`; `subnet` keeps two meshes on one machine apart. */
export function describeTwoNodes(mesh: string, subnet: number): TwoNodes {
  return { a: describeNode(mesh, 'a', subnet), b: describeNode(mesh, 'b', subnet) };
}

/** Makes both namespaces, the link between them, and the routes to each other's pods. */
export async function openTwoNodes(nodes: TwoNodes): Promise<void> {
  const { a, b } = nodes;
  for (const node of [a, b]) {
    await must(['ip', 'netns', 'add', node.netns]);
    await must(['ip', '-n', node.netns, 'link', 'set', 'lo', 'up']);
  }
  await must([
    'ip',
    '-n',
    a.netns,
    'link',
    'add',
    a.device,
    'type',
    'veth',
    'peer',
    'name',
    b.device,
    'netns',
    b.netns,
  ]);
  for (const [here, there] of [
    [a, b],
    [b, a],
  ] as const) {
    const ip = (...args: string[]) => must(['ip', '-n', here.netns, ...args]);
    await setSysctls(here.netns, {
      'ipv4.ip_forward': '1',
      'ipv6.conf.all.forwarding': '1',
      // Otherwise the first seconds of IPv6 go by with duplicate address detection.
      'ipv6.conf.all.accept_dad': '0',
    });
    await ip('address', 'add', `${here.address}/30`, 'dev', here.device);
    await ip('address', 'add', `${here.address6}/126`, 'dev', here.device, 'nodad');
    await ip('link', 'set', here.device, 'up');
    await ip('route', 'add', there.podCidr, 'via', there.address);
    await ip('route', 'add', there.podCidr6, 'via', there.address6, 'dev', here.device);
  }
}

/** Removes both namespaces; devices and routes go with them. */
export async function closeTwoNodes(nodes: TwoNodes): Promise<void> {
  for (const node of [nodes.a, nodes.b]) await run(['ip', 'netns', 'delete', node.netns]);
}
