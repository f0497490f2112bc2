// SPDX-License-Identifier: Apache-2.0

import { promises as dns } from 'node:dns';

import { parseAddress } from '../model/address.ts';

/** What the node's resolvers say of a host name. */
export type HostAnswer =
  | { readonly kind: 'found'; readonly addresses: readonly string[]; readonly ttlSeconds: number }
  | { readonly kind: 'none'; readonly exists: boolean }
  | { readonly kind: 'failed'; readonly reason: string };

export type LookUpHost = (hostname: string) => Promise<HostAnswer>;

const TIMEOUT_MS = 1_500;
const TRIES = 2;
const NO_DATA = 'ENODATA';
const NOT_FOUND = 'ENOTFOUND';

/** Asks the resolvers, from this machine's own network, for both families; never rejects. */
export function hostLookup(resolvers: readonly string[]): LookUpHost {
  if (resolvers.length === 0)
    return () => Promise.resolve({ kind: 'failed', reason: 'this node has no resolver; name one with --resolvers' });
  const resolver = new dns.Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  resolver.setServers(resolvers);
  return async (hostname) => {
    const answers = await Promise.all([
      ask(() => resolver.resolve4(hostname, { ttl: true })),
      ask(() => resolver.resolve6(hostname, { ttl: true })),
    ]);
    const found = answers.flatMap((answer) => (answer.kind === 'found' ? [answer] : []));
    if (found.length > 0) {
      const ttlSeconds = Math.min(...found.map((answer) => answer.ttlSeconds));
      return { kind: 'found', addresses: found.flatMap(({ addresses }) => addresses), ttlSeconds };
    }
    const failed = answers.find(({ kind }) => kind === 'failed');
    if (failed) return failed;
    return { kind: 'none', exists: answers.some((answer) => answer.kind === 'none' && answer.exists) };
  };
}

async function ask(resolve: () => Promise<readonly { address: string; ttl: number }[]>): Promise<HostAnswer> {
  try {
    const records = await resolve();
    const addresses = records.flatMap(({ address }) => parseAddress(address) ?? []);
    if (addresses.length === 0) return { kind: 'none', exists: true };
    return { kind: 'found', addresses, ttlSeconds: Math.min(...records.map(({ ttl }) => ttl)) };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === NO_DATA || code === NOT_FOUND) return { kind: 'none', exists: code === NO_DATA };
    return { kind: 'failed', reason: message };
  }
}
