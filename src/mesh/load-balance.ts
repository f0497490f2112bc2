// SPDX-License-Identifier: Apache-2.0

import { fnv1a } from '../model/hash.ts';
import type { LoadBalancingScope, Service, ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { Endpoint } from './view.ts';

/** An endpoint that can serve the connection: where, and how much of the load it takes. */
export interface Candidate {
  readonly workload: Workload;
  readonly address: string;
  readonly port: number;
}

/** An endpoint that is known by its name only, and what is known of that: addresses, or nothing yet. */
export type FindAddresses = (workload: Workload, port: number) => readonly string[];

/** The candidates; when there is none, why. */
export interface Selection {
  readonly candidates: readonly Candidate[];
  /** Some endpoint would have served, but is on another network. */
  readonly elsewhere: boolean;
}

/** Choices in one answer. A larger Service gives each source its own stable share of it. */
export const CHOICES_MAX = 128;

/**
 * The endpoints of a Service that may take a connection from `source`, by health, port, network, locality, capacity.
 *
 * `findAddresses` gives those of an endpoint that is known by its host name only; each of them is a candidate.
 * Limits: O(endpoints); at most CHOICES_MAX candidates.
 * Source: ztunnel src/state.rs load_balance.
 */
export function selectEndpoints(
  source: Workload,
  service: Service,
  endpoints: ReadonlyMap<string, Endpoint>,
  servicePort: ServicePort,
  wanted: string,
  findAddresses: FindAddresses,
): Selection {
  const scopes = service.loadBalancing?.routingPreference ?? [];
  const mode = service.loadBalancing?.mode ?? 'UNSPECIFIED_MODE';
  const ranked = mode === 'STRICT' || mode === 'FAILOVER';
  let rankMin = mode === 'STRICT' ? scopes.length : 0;
  let candidates: Candidate[] = [];
  let elsewhere = false;
  for (const { workload, ports } of endpoints.values()) {
    if (workload.status !== 'HEALTHY' && service.loadBalancing?.healthPolicy !== 'ALLOW_ALL') continue;
    if (workload.capacity === 0) continue;
    const port = targetPortOf(servicePort, ports);
    if (port === 0) continue;
    if (workload.network !== source.network) {
      elsewhere = true;
      continue;
    }
    const addresses =
      workload.hostname !== '' && workload.addresses.length === 0
        ? ofOneFamily(findAddresses(workload, port), service.ipFamilies, wanted)
        : chooseAddress(workload.addresses, service.ipFamilies, wanted);
    if (addresses.length === 0) continue;
    const rank = ranked ? localityRank(source, workload, scopes) : 0;
    if (rank < rankMin) continue;
    if (rank > rankMin) {
      rankMin = rank;
      candidates = [];
    }
    for (const address of addresses) candidates.push({ workload, address, port });
  }
  return { candidates: shareOf(source, candidates), elsewhere };
}

/** The port of one endpoint: what it says itself, else what its Service says; 0 when neither knows. */
export function targetPortOf(servicePort: ServicePort, endpointPorts: readonly ServicePort[]): number {
  const own = endpointPorts.find((port) => port.servicePort === servicePort.servicePort);
  return own && own.targetPort !== 0 ? own.targetPort : servicePort.targetPort;
}

/** Which of its addresses to use: the one asked for, else one that the Service allows, of the caller's family first. */
function chooseAddress(
  addresses: readonly string[],
  families: Service['ipFamilies'],
  wanted: string,
): readonly string[] {
  const wantedIpv6 = wanted.includes(':');
  let fallback: string | undefined;
  let best: string | undefined;
  for (const address of addresses) {
    if (address === wanted) return [address];
    const isIpv6 = address.includes(':');
    if ((families === 'IPV4_ONLY' && isIpv6) || (families === 'IPV6_ONLY' && !isIpv6)) continue;
    if (isIpv6 === wantedIpv6) best ??= address;
    else fallback ??= address;
  }
  const chosen = best ?? fallback;
  return chosen === undefined ? [] : [chosen];
}

/** All of a name's addresses that are of the family of the one that would be used. */
function ofOneFamily(addresses: readonly string[], families: Service['ipFamilies'], wanted: string): readonly string[] {
  const [chosen] = chooseAddress(addresses, families, wanted);
  return chosen === undefined ? [] : addresses.filter((address) => address.includes(':') === chosen.includes(':'));
}

/** How many scopes, counted from the front, the two have in common. */
export function localityRank(source: Workload, other: Workload, scopes: readonly LoadBalancingScope[]): number {
  let rank = 0;
  while (rank < scopes.length && isSameScope(source, other, scopes[rank] as LoadBalancingScope)) rank++;
  return rank;
}

function isSameScope(a: Workload, b: Workload, scope: LoadBalancingScope): boolean {
  switch (scope) {
    case 'REGION':
      return (a.locality?.region ?? '') === (b.locality?.region ?? '');
    case 'ZONE':
      return (a.locality?.zone ?? '') === (b.locality?.zone ?? '');
    case 'SUBZONE':
      return (a.locality?.subzone ?? '') === (b.locality?.subzone ?? '');
    case 'NODE':
      return a.node === b.node;
    case 'CLUSTER':
      return a.clusterId === b.clusterId;
    case 'NETWORK':
      return a.network === b.network;
  }
}

// Each source starts at its own place in the ring of endpoints, so that together they load all of them.
function shareOf(source: Workload, candidates: readonly Candidate[]): readonly Candidate[] {
  if (candidates.length <= CHOICES_MAX) return candidates;
  const start = fnv1a(source.uid) % candidates.length;
  return Array.from({ length: CHOICES_MAX }, (_, i) => candidates[(start + i) % candidates.length] as Candidate);
}
