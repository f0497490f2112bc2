// SPDX-License-Identifier: Apache-2.0

import { type Service, serviceKey } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { DependencyKey, MeshView } from './view.ts';
import { dependency } from './view.ts';

/** What a Service by its address is looked for with: what was read is added to `dependencies`. */
type ServiceSearch = (
  view: MeshView,
  client: Workload,
  address: string,
  dependencies: Set<DependencyKey>,
) => Service | undefined;

/**
 * The Service that answers for an address, as seen from a workload.
 *
 * Exact addresses come before ranges. Of several: visible to the client's namespace is a must; then its own namespace,
 * (for ranges) the longest prefix, canonical, the first by name: whichever was known first.
 * Source: ztunnel src/state/service.rs ServiceMatch.
 */
export const findServiceByAddress: ServiceSearch = (...question) =>
  findServiceAt(...question) ?? findServiceAround(...question);

/** The Service that has exactly this address. */
export const findServiceAt: ServiceSearch = (view, client, address, dependencies) => {
  dependencies.add(dependency.address(client.network, address));
  return bestService(client.namespace, view.servicesByAddress(client.network, address));
};

/** The Service that has a range around this address. */
export const findServiceAround: ServiceSearch = (view, client, address, dependencies) => {
  dependencies.add(dependency.ranges(client.network));
  const ranged = view.servicesByRange(client.network, address);
  const visible = ranged.filter(({ service }) => isVisible(service, client.namespace));
  // Own namespace before a longer prefix elsewhere; the view has sorted by prefix already.
  const own = visible.filter(({ service }) => service.namespace === client.namespace);
  const pool = own.length > 0 ? own : visible;
  const longest = pool[0]?.prefixLength;
  return bestService(
    client.namespace,
    pool.filter(({ prefixLength }) => prefixLength === longest).map(({ service }) => service),
  );
};

/** The best of several Services under one name or address, for a client of that namespace. */
export function bestService(clientNamespace: string, services: readonly Service[]): Service | undefined {
  let best: Service | undefined;
  let bestRank = -1;
  for (const service of services) {
    if (!isVisible(service, clientNamespace)) continue;
    const rank = (service.namespace === clientNamespace ? 2 : 0) + (service.canonical ? 1 : 0);
    const isBefore = rank === bestRank && best !== undefined && serviceKey(service) < serviceKey(best);
    if (rank > bestRank || isBefore) {
      best = service;
      bestRank = rank;
    }
  }
  return best;
}

function isVisible({ visibility, namespace, extension }: Service, clientNamespace: string): boolean {
  if (visibility === 'PUBLIC') return true;
  const named = extension?.exportTo ?? [];
  return named.length > 0 ? named.includes(clientNamespace) : namespace === clientNamespace;
}
