// SPDX-License-Identifier: Apache-2.0

import { isDeepStrictEqual } from 'node:util';
import { addressBytes, isRange, sharePrefix } from '../model/address.ts';
import type { Authorization } from '../model/policy.ts';
import { policyKey } from '../model/policy.ts';
import type { RejectedResource, ResourceRemains } from '../model/rejected-resource.ts';
import type { NetworkAddress, Service } from '../model/service.ts';
import { serviceKey } from '../model/service.ts';
import { addressRank, type Workload } from '../model/workload.ts';
import { checkPolicy, checkService, checkWorkload } from './check-resource.ts';
import { RejectedTable } from './rejected-table.ts';
import type { ResolvedName } from './resolved-name.ts';
import type { DependencyKey, Endpoint, MeshView, RangedService } from './view.ts';
import { dependency } from './view.ts';

/** What the control plane changed, in one piece. Removals are applied first, so a name in both is kept. */
export interface MeshDelta {
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly policies?: readonly Authorization[];
  /** Names of the Address type: a workload uid, or `namespace/hostname` of a Service. */
  readonly removedAddresses?: readonly string[];
  readonly removedPolicies?: readonly string[];
  /** What came and could not be read. */
  readonly rejected?: readonly RejectedResource[];
}

export interface MeshChange {
  readonly keys: ReadonlySet<DependencyKey>;
  /** What could be read and was not taken all the same. */
  readonly rejected: readonly RejectedResource[];
}

export type MeshListener = (change: MeshChange) => void;

interface Range {
  readonly network: Uint8Array;
  readonly prefixLength: number;
  readonly service: Service;
}

/** More than any mesh we know of; beyond it new resources are rejected and those known stay. */
export const RESOURCES_MAX = 500_000;

const NO_ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map();

/**
 * All that the control plane told us, indexed for the decisions.
 *
 * `apply` takes one delta and tells each listener the exact keys whose answers may have changed; a resource that is
 * equal to the one we have changes nothing, so a control plane that repeats itself after a reconnect costs no verdict.
 * Limits: lookups O(1), ranges O(ranges of the network); apply O(addresses + services of the resource).
 */
export class MeshStore implements MeshView {
  readonly #workloads = new Map<string, Workload>();
  readonly #workloadsByAddress = new Map<string, Workload[]>();
  readonly #services = new Map<string, Service>();
  readonly #servicesByHostname = new Map<string, Service[]>();
  readonly #servicesByAddress = new Map<string, Service[]>();
  readonly #ranges = new Map<string, Range[]>();
  readonly #endpoints = new Map<string, Map<string, Endpoint>>();
  readonly #policies = new Map<string, Authorization>();
  readonly #policiesByNamespace = new Map<string, Authorization[]>();
  readonly #names = new Map<string, ResolvedName>();
  readonly #listeners = new Set<MeshListener>();
  readonly #resourcesMax: number;
  readonly #rejected: RejectedTable;
  readonly #rejectedTotals = { workload: 0, service: 0, policy: 0 };

  constructor(resourcesMax: number = RESOURCES_MAX) {
    this.#resourcesMax = resourcesMax;
    this.#rejected = new RejectedTable(resourcesMax);
  }

  apply(delta: MeshDelta): MeshChange {
    const keys = new Set<DependencyKey>();
    const rejected: RejectedResource[] = [];
    for (const name of delta.removedAddresses ?? []) {
      this.#replaceWorkload(this.#workloads.get(name), undefined, keys);
      this.#replaceService(this.#services.get(name), undefined, keys);
      this.#rejected.delete('addresses', name, keys);
    }
    for (const name of delta.removedPolicies ?? []) {
      this.#replacePolicy(this.#policies.get(name), undefined, keys);
      this.#rejected.delete('policies', name, keys);
    }
    // Workloads last of all: an address must not be answered as a bare workload while its Service is in the same delta.
    for (const policy of delta.policies ?? []) {
      const known = this.#policies.get(policyKey(policy));
      const reason = checkPolicy(policy) ?? this.#checkRoom(known);
      if (reason) rejected.push({ ...remainsOfPolicy(policy), name: policyKey(policy), reason });
      else this.#replacePolicy(known, policy, keys);
      if (!reason) this.#rejected.delete('policies', policyKey(policy), keys);
    }
    for (const service of delta.services ?? []) {
      const known = this.#services.get(serviceKey(service));
      const reason = checkService(service) ?? this.#checkRoom(known);
      const { addresses } = service;
      if (reason) rejected.push({ kind: 'service', addresses, name: serviceKey(service), reason });
      else this.#replaceService(known, service, keys);
      if (!reason) this.#rejected.delete('addresses', serviceKey(service), keys);
    }
    for (const workload of delta.workloads ?? []) {
      const known = this.#workloads.get(workload.uid);
      const reason = checkWorkload(workload) ?? this.#checkRoom(known);
      if (reason) rejected.push({ ...remainsOfWorkload(workload), name: workload.uid, reason });
      else this.#replaceWorkload(known, workload, keys);
      if (!reason) this.#rejected.delete('addresses', workload.uid, keys);
    }
    for (const resource of [...(delta.rejected ?? []), ...rejected]) {
      this.#rejected.set(resource, keys);
      this.#rejectedTotals[resource.kind] += 1;
    }
    const change = { keys, rejected };
    if (keys.size > 0 || rejected.length > 0) this.#tell(change);
    return change;
  }

  #tell(change: MeshChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  /** What DNS says of a name by now; `undefined`: it is not looked up any more. The caller bounds how many there are. */
  setName(hostname: string, resolved: ResolvedName | undefined): void {
    if (isDeepStrictEqual(this.#names.get(hostname), resolved)) return;
    if (resolved) this.#names.set(hostname, resolved);
    else this.#names.delete(hostname);
    this.#tell({ keys: new Set([dependency.name(hostname)]), rejected: [] });
  }

  /** Calls back after each delta that changed or rejected something. Returns how to stop that. */
  watch(listener: MeshListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get workloads(): ReadonlyMap<string, Workload> {
    return this.#workloads;
  }

  get services(): ReadonlyMap<string, Service> {
    return this.#services;
  }

  get policies(): ReadonlyMap<string, Authorization> {
    return this.#policies;
  }

  /** What was rejected last and is still there, as far as we were told. */
  get rejected(): Pick<RejectedTable, 'values' | 'size' | 'max' | 'lostTotal'> {
    return this.#rejected;
  }

  /** Resources not taken since the start, by kind. */
  get rejectedTotals(): Readonly<Record<RejectedResource['kind'], number>> {
    return this.#rejectedTotals;
  }

  findWorkload(uid: string): Workload | undefined {
    return this.#workloads.get(uid);
  }

  findWorkloadByAddress(network: string, address: string): Workload | undefined {
    return this.#workloadsByAddress.get(`${network}/${address}`)?.[0];
  }

  findService(key: string): Service | undefined {
    return this.#services.get(key);
  }

  servicesByHostname(hostname: string): readonly Service[] {
    return this.#servicesByHostname.get(hostname) ?? [];
  }

  servicesByAddress(network: string, address: string): readonly Service[] {
    return this.#servicesByAddress.get(`${network}/${address}`) ?? [];
  }

  servicesByRange(network: string, address: string): readonly RangedService[] {
    const ranges = this.#ranges.get(network);
    if (!ranges) return [];
    const bytes = addressBytes(address);
    return ranges.filter((range) => sharePrefix(range.network, bytes, range.prefixLength));
  }

  endpointsOf(key: string): ReadonlyMap<string, Endpoint> {
    return this.#endpoints.get(key) ?? NO_ENDPOINTS;
  }

  findPolicy(key: string): Authorization | undefined {
    return this.#policies.get(key);
  }

  policiesOfNamespace(namespace: string): readonly Authorization[] {
    return this.#policiesByNamespace.get(namespace) ?? [];
  }

  findName(hostname: string): ResolvedName | undefined {
    return this.#names.get(hostname);
  }

  isRejectedAddress(network: string, address: string): boolean {
    return this.#rejected.hasAddress(network, address);
  }

  rejectedPoliciesOfNamespace(namespace: string): readonly string[] {
    return this.#rejected.policiesOf(namespace).filter((name) => !this.#policies.has(name));
  }

  #checkRoom(known: unknown): string | undefined {
    if (known || this.#workloads.size + this.#services.size + this.#policies.size < this.#resourcesMax)
      return undefined;
    return `the mesh has more than ${this.#resourcesMax} resources`;
  }

  #replaceWorkload(before: Workload | undefined, after: Workload | undefined, keys: Set<DependencyKey>): void {
    if (isDeepStrictEqual(before, after)) return;
    const uid = (after ?? before)?.uid ?? '';
    keys.add(dependency.workload(uid));
    this.#replaceAddresses(before, after, keys);
    this.#replaceEndpoints(before, after, keys);
    if (after) this.#workloads.set(uid, after);
    else this.#workloads.delete(uid);
  }

  #replaceAddresses(before: Workload | undefined, after: Workload | undefined, keys: Set<DependencyKey>): void {
    const old = indexedAddresses(before);
    const now = indexedAddresses(after);
    const sameRank = before && after && addressRank(before) === addressRank(after);
    for (const address of old) removeFrom(this.#workloadsByAddress, address, (workload) => workload === before);
    for (const address of now) {
      if (!after) break;
      const sharers = this.#workloadsByAddress.get(address) ?? [];
      // Stable sort: of equals the one known first stays in front.
      this.#workloadsByAddress.set(
        address,
        [...sharers, after].sort((a, b) => addressRank(b) - addressRank(a)),
      );
    }
    for (const address of new Set([...old, ...now])) {
      // Sharers of one address may also swap places when one of them is replaced.
      const shared = (this.#workloadsByAddress.get(address)?.length ?? 0) > 1;
      if (sameRank && !shared && old.includes(address) && now.includes(address)) continue;
      keys.add(`address/${address}`);
    }
  }

  #replaceEndpoints(before: Workload | undefined, after: Workload | undefined, keys: Set<DependencyKey>): void {
    const alike = before && after && isDeepStrictEqual(asEndpoint(before), asEndpoint(after));
    for (const key of before?.services.keys() ?? []) {
      if (after?.services.has(key)) continue;
      const endpoints = this.#endpoints.get(key);
      endpoints?.delete(before?.uid ?? '');
      if (endpoints?.size === 0) this.#endpoints.delete(key);
      keys.add(dependency.endpoints(key));
    }
    for (const [key, ports] of after?.services ?? []) {
      let endpoints = this.#endpoints.get(key);
      if (!endpoints) this.#endpoints.set(key, (endpoints = new Map()));
      if (after) endpoints.set(after.uid, { workload: after, ports });
      if (!alike || !isDeepStrictEqual(before.services.get(key), ports)) keys.add(dependency.endpoints(key));
    }
  }

  #replaceService(before: Service | undefined, after: Service | undefined, keys: Set<DependencyKey>): void {
    if (isDeepStrictEqual(before, after)) return;
    const key = serviceKey((after ?? before) as Service);
    const hostname = ((after ?? before) as Service).hostname.toLowerCase();
    keys.add(dependency.service(key));
    if (!before || !after) keys.add(dependency.hostname(hostname));
    // Which Service answers for a shared address hangs on these two; otherwise only a change of addresses matters.
    const sameRank = before?.canonical === after?.canonical && before?.visibility === after?.visibility;
    const isKept = (address: NetworkAddress, other: Service | undefined) =>
      sameRank && other?.addresses.some((candidate) => isDeepStrictEqual(candidate, address)) === true;
    for (const address of before?.addresses ?? []) {
      this.#removeServiceAddress(address, before as Service);
      if (!isKept(address, after)) keys.add(addressDependency(address));
    }
    for (const address of after?.addresses ?? []) {
      this.#addServiceAddress(address, after as Service);
      if (!isKept(address, before)) keys.add(addressDependency(address));
    }
    if (before) removeFrom(this.#servicesByHostname, hostname, (service) => service === before);
    if (after) addTo(this.#servicesByHostname, hostname, after);
    if (after) this.#services.set(key, after);
    else this.#services.delete(key);
  }

  #addServiceAddress(address: NetworkAddress, service: Service): void {
    if (!isRange(address)) {
      addTo(this.#servicesByAddress, `${address.network}/${address.address}`, service);
      return;
    }
    const network = addressBytes(address.address);
    addTo(this.#ranges, address.network, { network, prefixLength: address.prefixLength, service });
    this.#ranges.get(address.network)?.sort((a, b) => b.prefixLength - a.prefixLength);
  }

  #removeServiceAddress(address: NetworkAddress, service: Service): void {
    if (isRange(address)) removeFrom(this.#ranges, address.network, (range) => range.service === service);
    else removeFrom(this.#servicesByAddress, `${address.network}/${address.address}`, (other) => other === service);
  }

  #replacePolicy(before: Authorization | undefined, after: Authorization | undefined, keys: Set<DependencyKey>): void {
    if (isDeepStrictEqual(before, after)) return;
    const key = policyKey((after ?? before) as Authorization);
    keys.add(dependency.policy(key));
    const old = before && policyIndex(before);
    const now = after && policyIndex(after);
    if (before && old !== undefined) {
      removeFrom(this.#policiesByNamespace, old, (policy) => policy === before);
      keys.add(dependency.policies(old));
    }
    if (after && now !== undefined) {
      addTo(this.#policiesByNamespace, now, after);
      keys.add(dependency.policies(now));
    }
    if (after) this.#policies.set(key, after);
    else this.#policies.delete(key);
  }
}

// The address of a host is shared by all that runs there, so it says nothing about one workload.
function indexedAddresses(workload: Workload | undefined): string[] {
  if (!workload || workload.networkMode === 'HOST_NETWORK') return [];
  return workload.addresses.map((address) => `${workload.network}/${address}`);
}

function remainsOfWorkload(workload: Workload): ResourceRemains {
  const { network, addresses, networkMode } = workload;
  const own = networkMode === 'HOST_NETWORK' ? [] : addresses;
  return { kind: 'workload', addresses: own.map((address) => ({ network, address })) };
}

function remainsOfPolicy(policy: Authorization): ResourceRemains {
  const scope = policy.dryRun ? undefined : policyIndex(policy);
  return { kind: 'policy', addresses: [], ...(scope !== undefined && { scope }) };
}

// What a caller of a Service can notice of its endpoint; the policies of the endpoint are not among it.
function asEndpoint(workload: Workload): Workload {
  return { ...workload, authorizationPolicies: [], services: new Map() };
}

function addressDependency(address: NetworkAddress): DependencyKey {
  if (isRange(address)) return dependency.ranges(address.network);
  return dependency.address(address.network, address.address);
}

function policyIndex(policy: Authorization): string | undefined {
  switch (policy.scope) {
    case 'GLOBAL':
      return '';
    case 'NAMESPACE':
      return policy.namespace;
    case 'WORKLOAD_SELECTOR':
      return undefined;
  }
}

function addTo<T>(index: Map<string, T[]>, key: string, item: T): void {
  index.set(key, [...(index.get(key) ?? []), item]);
}

function removeFrom<T>(index: Map<string, T[]>, key: string, isGone: (item: T) => boolean): void {
  const left = (index.get(key) ?? []).filter((item) => !isGone(item));
  if (left.length > 0) index.set(key, left);
  else index.delete(key);
}
