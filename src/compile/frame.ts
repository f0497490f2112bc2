// SPDX-License-Identifier: Apache-2.0

import type { Authorization } from '../model/policy.ts';
import type { Service } from '../model/service.ts';
import type { Locality, Workload } from '../model/workload.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { MeshObject, PodObject, WorkloadEntryObject } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import { type CompiledSlices, compileSlices } from './endpoint-slices.ts';
import { EntryHosts } from './entry-hosts.ts';
import { compileEntryEndpoints, compileWorkloadEntry } from './machines.ts';
import { type CompiledPolicies, compilePolicies } from './policies.ts';
import type { SelectorIndex } from './selector-index.ts';
import { compileServices } from './services.ts';
import type { CompileSettings } from './settings.ts';
import { Waypoints, waypointLookup } from './waypoints.ts';
import { type Backend, compilePod, indexBackends, nodeLocalities, type WorkloadContext } from './workloads.ts';

/** An object that is one workload of its own, of which there may be very many. */
export type UnitObject = PodObject | WorkloadEntryObject;

export function isUnit(object: MeshObject): object is UnitObject {
  return object.kind === 'Pod' || object.kind === 'WorkloadEntry';
}

/** What is made of all that is no unit: it is the same for every unit, and small beside them. */
export interface Frame {
  readonly settings: CompileSettings;
  readonly authorizations: ReadonlyMap<string, Authorization>;
  readonly findPolicies: CompiledPolicies['findPolicies'];
  readonly backends: SelectorIndex<Backend>;
  readonly slices: CompiledSlices;
  readonly localities: ReadonlyMap<string, Locality>;
  readonly waypoints: Waypoints;
  readonly services: ReadonlyMap<string, Service>;
  /** Endpoints that are written in slices and ServiceEntries. */
  readonly endpoints: readonly Workload[];
  readonly notices: readonly Notice[];
}

/** Compiles all that is no unit. Of pods it looks at those alone to which slices refer. */
export function compileFrame(objects: ObjectSnapshot, settings: CompileSettings): Frame {
  const notices: Notice[] = [];
  const waypoints = new Waypoints(objects, settings);
  const findWaypoint = waypointLookup((question) => waypoints.find(question), notices);
  const { authorizations, findPolicies } = compilePolicies(objects, settings.rootNamespace, notices);
  const hosts = new EntryHosts(objects, notices);
  const slices = compileSlices(objects, settings, notices);
  const entries = objects
    .of('ServiceEntry')
    .flatMap((entry) => compileEntryEndpoints(entry, { settings, notices, findPolicies }, hosts));
  return {
    settings,
    authorizations,
    findPolicies,
    backends: indexBackends(objects, hosts, settings),
    slices,
    localities: nodeLocalities(objects),
    waypoints,
    services: compileServices(objects, settings, hosts, findWaypoint, notices),
    endpoints: [...slices.workloads, ...entries],
    notices,
  };
}

/** The workload of one unit; `undefined` for one that has none yet, or no more. */
export function compileUnit(object: UnitObject, context: WorkloadContext): Workload | undefined {
  return object.kind === 'Pod' ? compilePod(object, context) : compileWorkloadEntry(object, context);
}
