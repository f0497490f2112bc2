// SPDX-License-Identifier: Apache-2.0

import { must, run } from '../src/harness/shell.ts';
import { type MeshNode, setSysctls } from '../src/harness/two-nodes.ts';

/** A namespace shaped like a pod's (one veth to the node, a route each way) that no mesh knows. */
export interface PlainPod {
  readonly netns: string;
  readonly address: string;
}

/**
 * Without these TIME_WAIT and 28,000 ports decide the connection rate of every row.
 * Applied to pods and nodes alike, for every row.
 */
export const CONNECTION_RATE_SYSCTLS = {
  'ipv4.tcp_max_tw_buckets': '0',
  'ipv4.ip_local_port_range': '10000 65535',
} as const;

/** Makes a plain pod on a node. `host` is the last number of its address in the node's range. */
export async function openPlainPod(node: MeshNode, name: string, host: number): Promise<PlainPod> {
  const netns = `${node.netns}-${name}`;
  const address = node.podCidr.replace(/\.0\/24$/, `.${host}`);
  const gateway = node.address;
  const device = `plain${host}`;
  await must(['ip', 'netns', 'add', netns]);
  await must(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
  await must(['ip', '-n', node.netns, 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns]);
  await must(['ip', '-n', node.netns, 'link', 'set', device, 'up']);
  await must(['ip', '-n', node.netns, 'route', 'add', `${address}/32`, 'dev', device]);
  await must(['ip', '-n', netns, 'address', 'add', `${address}/32`, 'dev', 'eth0']);
  await must(['ip', '-n', netns, 'link', 'set', 'eth0', 'up']);
  await must(['ip', '-n', netns, 'route', 'add', gateway, 'dev', 'eth0']);
  await must(['ip', '-n', netns, 'route', 'add', 'default', 'via', gateway]);
  await setSysctls(netns, CONNECTION_RATE_SYSCTLS);
  return { netns, address };
}

/** Removes a plain pod; its devices go with it. */
export async function closePlainPod(pod: PlainPod): Promise<void> {
  await run(['ip', 'netns', 'delete', pod.netns]);
}
