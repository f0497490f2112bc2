// SPDX-License-Identifier: Apache-2.0

import type { Authorization } from '../model/policy.ts';
import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { Notice } from '../objects/problem.ts';
import { type Claimant, noteCollisions } from './address-collisions.ts';
import { compileFrame, compileUnit } from './frame.ts';
import type { CompileSettings } from './settings.ts';
import {
  audienceOf,
  entryAudience,
  noteUnmatchedPolicies,
  PolicyAudience,
  securityObjects,
} from './unmatched-policies.ts';
import { waypointLookup } from './waypoints.ts';
import { readyBackends, type WorkloadContext } from './workloads.ts';

/** What the control plane publishes: everything the nodes are to know. */
export interface CompiledMesh {
  /** By uid. */
  readonly workloads: ReadonlyMap<string, Workload>;
  /** By `namespace/hostname`. */
  readonly services: ReadonlyMap<string, Service>;
  /** By `namespace/name`. */
  readonly authorizations: ReadonlyMap<string, Authorization>;
  readonly notices: readonly Notice[];
}

/**
 * Compiles all objects into the mesh, whole. Pure, and slow: what is published comes from `IncrementalMesh`, which a test
 * holds to this.
 *
 * Limits: 60 ms for 5,000 pods, 1,000 Services and 200 policies, cold, on a busy 2-core machine; compile.test.ts
 * prints the figure.
 */
export function compileMesh(objects: ObjectSnapshot, settings: CompileSettings): CompiledMesh {
  const frame = compileFrame(objects, settings);
  const notices: Notice[] = [...frame.notices];
  const context: WorkloadContext = {
    settings,
    notices,
    backends: frame.backends,
    addedBackends: frame.slices.addedBackends,
    hasReady: readyBackends(objects, frame.backends, frame.slices.ready),
    localities: frame.localities,
    findWaypoint: waypointLookup((question) => frame.waypoints.find(question), notices),
    findPolicies: frame.findPolicies,
  };
  const workloads = new Map(frame.endpoints.map((workload) => [workload.uid, workload]));
  const claimants: Claimant[] = [];
  const audience = new PolicyAudience(securityObjects(objects), settings.rootNamespace, entryAudience(objects));
  for (const object of [...objects.of('Pod'), ...objects.of('WorkloadEntry')]) {
    audience.add(audienceOf(object));
    const workload = compileUnit(object, context);
    if (workload === undefined) continue;
    workloads.set(workload.uid, workload);
    claimants.push({ object, workload });
  }
  noteUnmatchedPolicies(objects, audience, settings, notices);
  noteCollisions(objects, settings, claimants, frame.services, notices);
  return { workloads, services: frame.services, authorizations: frame.authorizations, notices };
}
