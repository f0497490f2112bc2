// SPDX-License-Identifier: Apache-2.0

import type { Service } from '../model/service.ts';
import { addressRank, type Workload } from '../model/workload.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { MeshObject, ServiceObject } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import type { CompileSettings } from './settings.ts';
import { backendKey } from './workloads.ts';

/** A Pod or a WorkloadEntry, and the workload that it is. */
export interface Claimant {
  readonly object: MeshObject;
  readonly workload: Workload;
}

/** Who claims one address: workloads in the order of their objects, and then Services. */
export interface AddressClaims {
  readonly claimants: readonly Claimant[];
  readonly services: readonly ServiceObject[];
}

/** `network/address` of each address that a workload claims for itself. */
export function addressesClaimed({ network, networkMode, addresses }: Workload): readonly string[] {
  // The address of a host is that of all its pods, and nodes take it for none of them.
  if (networkMode === 'HOST_NETWORK') return [];
  return [...new Set(addresses)].map((address) => `${network}/${address}`);
}

/** Services by each of their addresses, `network/address`. */
export function servicesByAddress(
  objects: ObjectSnapshot,
  settings: CompileSettings,
  services: ReadonlyMap<string, Service>,
): Map<string, ServiceObject[]> {
  const found = new Map<string, ServiceObject[]>();
  for (const service of objects.of('Service')) {
    for (const { network, address } of services.get(backendKey(service, settings))?.addresses ?? []) {
      const key = `${network}/${address}`;
      found.set(key, [...(found.get(key) ?? []), service]);
    }
  }
  return found;
}

/**
 * Tells of one address that two workloads, a workload and a Service, or two Services claim: both places, and who gets it.
 *
 * Nothing is taken away: nodes decide as mesh/store.ts and mesh/resolve-outbound.ts say, and the words here are theirs.
 * Endpoints of ServiceEntries and EndpointSlices are left out: several may name one machine, and mean it.
 */
export function collisionsAt(
  key: string,
  { claimants, services }: AddressClaims,
  placeOf: ObjectSnapshot['placeOf'],
): readonly Notice[] {
  if (claimants.length + services.length < 2) return [];
  const address = key.slice(key.indexOf('/') + 1);
  const notices: Notice[] = [];
  const note = (object: MeshObject, rival: MeshObject, outcome: string): void => {
    const message = `${address} is an address of ${nameOf(rival)} (${placeOf(rival)}) too, ${outcome}; give one of them another (${placeOf(object)})`;
    notices.push({ code: 'ADDRESS_TAKEN', object: nameOf(object), message });
  };
  let owner: Claimant | undefined;
  for (const claimant of claimants) {
    const rival = owner;
    const [winner, loser] = rival !== undefined && !outranks(claimant, rival) ? [rival, claimant] : [claimant, rival];
    owner = winner;
    if (loser !== undefined) note(loser.object, winner.object, outcomeOf(winner, loser));
  }
  const [first] = services;
  for (const service of services) {
    if (owner !== undefined) note(service, owner.object, 'and connections to it go there');
    else if (first !== undefined && service !== first) note(service, first, BETWEEN_SERVICES);
  }
  return notices;
}

/** Tells of every address that is claimed twice. `claimants` in the order of their objects. */
export function noteCollisions(
  objects: ObjectSnapshot,
  settings: CompileSettings,
  claimants: readonly Claimant[],
  services: ReadonlyMap<string, Service>,
  notices: Notice[],
): void {
  const byAddress = new Map<string, Claimant[]>();
  for (const claimant of claimants) {
    for (const key of addressesClaimed(claimant.workload)) {
      const rivals = byAddress.get(key);
      if (rivals === undefined) byAddress.set(key, [claimant]);
      else rivals.push(claimant);
    }
  }
  const ofServices = servicesByAddress(objects, settings, services);
  const placeOf = (object: MeshObject): string => objects.placeOf(object);
  for (const key of new Set([...byAddress.keys(), ...ofServices.keys()])) {
    const claims = { claimants: byAddress.get(key) ?? [], services: ofServices.get(key) ?? [] };
    notices.push(...collisionsAt(key, claims, placeOf));
  }
}

const BETWEEN_SERVICES = 'and each client gets that of its own namespace, or the one its node heard of first';

function outranks(a: Claimant, b: Claimant): boolean {
  return addressRank(a.workload) > addressRank(b.workload);
}

function outcomeOf(winner: Claimant, loser: Claimant): string {
  if (!outranks(winner, loser)) return 'and each node takes it for the one it heard of first';
  return winner.object.kind === loser.object.kind ? 'which is in the mesh and gets it' : 'and the pod gets it';
}

function nameOf({ kind, meta }: MeshObject): string {
  return objectKey(kind, meta);
}
