// SPDX-License-Identifier: Apache-2.0

import { readFile } from 'node:fs/promises';
import { isLoopback, parseAddress } from '../model/address.ts';
import type { UpstreamResolver } from '../model/messages.gen.ts';

/** Where kubeadm puts the cluster's DNS. Nobody needs to be there: a captured pod's queries are answered on the way. */
export const CLUSTER_DNS_DEFAULT = '10.96.0.10';

/** The machine's DNS servers, in their order. */
export async function findResolvers(path = '/etc/resolv.conf'): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const match = /^\s*nameserver\s+(\S+)/.exec(line);
    const address = match?.[1] === undefined ? undefined : parseAddress(match[1]);
    return address === undefined ? [] : [address];
  });
}

/**
 * Whose network reaches the resolvers, when nobody has said.
 *
 * A pod that Kubernetes made has a network that does, and its policy is to hold for DNS, too. Nobody outside this machine
 * need know the addresses of pods that are made here: an answer may find no way back to them.
 */
export function resolveFromByDefault(madeHere: boolean): 'pod' | 'node' {
  return madeHere ? 'node' : 'pod';
}

/** Whom the engine asks, and from where. What listens on the node's loopback is nowhere else. */
export function upstreamResolvers(resolvers: readonly string[], from: 'pod' | 'node'): readonly UpstreamResolver[] {
  return resolvers.map((address) => ({ address, fromNode: from === 'node' || isLoopback(address) }));
}
