// SPDX-License-Identifier: Apache-2.0

import { readFile } from 'node:fs/promises';

import { parseAddress } from '../model/address.ts';

/** Where kubeadm puts the cluster's DNS. Nobody needs to be there: a captured pod's queries are answered on the way. */
export const CLUSTER_DNS_DEFAULT = '10.96.0.10';

/** The machine's DNS servers; those on a loopback address are left out, since in a pod's namespace nobody is there. */
export async function findResolvers(path = '/etc/resolv.conf'): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const match = /^\s*nameserver\s+(\S+)/.exec(line);
    const address = match?.[1] === undefined ? undefined : parseAddress(match[1]);
    const isLoopback = address !== undefined && (address.startsWith('127.') || address === '::1');
    return address === undefined || isLoopback ? [] : [address];
  });
}
