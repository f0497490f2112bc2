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

/**
 * Tells of addresses that two workloads, a workload and a Service, or two Services claim: both places, and who gets them.
 *
 * Nothing is taken away: nodes decide as mesh/store.ts and mesh/resolve-outbound.ts say, and the words here are theirs.
 * Endpoints of ServiceEntries and EndpointSlices are left out: several may name one machine, and mean it.
 */
export function noteCollisions(
  objects: ObjectSnapshot,
  settings: CompileSettings,
  claimants: readonly Claimant[],
  services: ReadonlyMap<string, Service>,
  notices: Notice[],
): void {
  const note = (object: MeshObject, address: string, rival: MeshObject, outcome: string): void => {
    const message = `${address} is an address of ${nameOf(rival)} (${objects.placeOf(rival)}) too, ${outcome}; give one of them another (${objects.placeOf(object)})`;
    notices.push({ code: 'ADDRESS_TAKEN', object: nameOf(object), message });
  };
  const owners = new Map<string, Claimant>();
  for (const claimant of claimants) {
    const { network, networkMode, addresses } = claimant.workload;
    // The address of a host is that of all its pods, and nodes take it for none of them.
    if (networkMode === 'HOST_NETWORK') continue;
    for (const address of addresses) {
      const key = `${network}/${address}`;
      const rival = owners.get(key);
      const [winner, loser] = rival !== undefined && !outranks(claimant, rival) ? [rival, claimant] : [claimant, rival];
      owners.set(key, winner);
      if (loser !== undefined) note(loser.object, address, winner.object, outcomeOf(winner, loser));
    }
  }
  const taken = new Map<string, ServiceObject>();
  for (const service of objects.of('Service')) {
    for (const { network, address } of services.get(backendKey(service, settings))?.addresses ?? []) {
      const key = `${network}/${address}`;
      const owner = owners.get(key);
      const rival = taken.get(key);
      if (owner !== undefined) note(service, address, owner.object, 'and connections to it go there');
      else if (rival !== undefined) note(service, address, rival, BETWEEN_SERVICES);
      if (rival === undefined) taken.set(key, service);
    }
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
