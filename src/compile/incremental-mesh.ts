// SPDX-License-Identifier: Apache-2.0

// The mesh, kept at what the objects say, at the cost of what changed:
//   1. An object that is no unit (a Service, a policy, a namespace) changed: the frame is compiled anew, which does not
//      touch the units, and every query of theirs is answered again. Queries are shared by units with equal labels.
//   2. A unit (a Pod, a WorkloadEntry) changed: it is compiled anew.
//   3. So is each unit that read an answer which is another now, until there is none.
//   4. What two units, or a unit and a Service, have to do with each other follows: addresses claimed twice, policies
//      that find nobody.
// docs/adr/0020 says why, and what it costs.

import { isDeepStrictEqual } from 'node:util';

import type { Authorization } from '../model/policy.ts';
import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { compareText, objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { MeshObject, ServiceObject } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import type { Tellings } from '../objects/tellings.ts';
import { addressesClaimed, type Claimant, collisionsAt, servicesByAddress } from './address-collisions.ts';
import type { CompiledMesh } from './compile.ts';
import { Dependencies } from './dependencies.ts';
import { compileFrame, compileUnit, type Frame, isUnit, type UnitObject } from './frame.ts';
import type { CompileSettings } from './settings.ts';
import {
  audienceOf,
  entryAudience,
  type Labelled,
  noteUnmatchedPolicies,
  PolicyAudience,
  securityObjects,
} from './unmatched-policies.ts';
import { waypointLookup } from './waypoints.ts';
import { readyFor, type WorkloadContext } from './workloads.ts';

/** By the keys of `CompiledMesh`; `undefined`: there is none any more. */
export interface MeshChange {
  readonly workloads: ReadonlyMap<string, Workload | undefined>;
  readonly services: ReadonlyMap<string, Service | undefined>;
  readonly authorizations: ReadonlyMap<string, Authorization | undefined>;
}

interface Unit {
  readonly object: UnitObject;
  readonly workload: Workload | undefined;
  readonly labelled: Labelled;
  /** Keys of the Services for which it is ready. */
  readonly readyFor: readonly string[];
  readonly addresses: readonly string[];
}

/** Compiles what changed. After an error it is of no use any more: make another one, and give it every object. */
export class IncrementalMesh {
  readonly #objects: ObjectSnapshot;
  readonly #settings: CompileSettings;
  readonly #dependencies = new Dependencies();
  readonly #units = new Map<string, Unit>();
  readonly #ready = new Map<string, number>();
  /** The units that claim an address, by `network/address`. */
  readonly #claims = new Map<string, Map<string, Claimant>>();
  readonly #notices: Tellings<Notice>;
  #serviceClaims: ReadonlyMap<string, readonly ServiceObject[]> = new Map();
  #audience: PolicyAudience;
  #frame: Frame;
  #endpoints: ReadonlyMap<string, Workload> = new Map();
  readonly #workloads = new Map<string, Workload | undefined>();

  /** Knows nothing yet: every object that there is has to be named to `update` once. What is told of them goes to `notices`. */
  constructor(objects: ObjectSnapshot, settings: CompileSettings, notices: Tellings<Notice>) {
    this.#objects = objects;
    this.#settings = settings;
    this.#notices = notices;
    this.#frame = compileFrame(EMPTY, settings);
    this.#audience = new PolicyAudience([], settings.rootNamespace, []);
  }

  /** Services that there are. */
  get services(): ReadonlyMap<string, Service> {
    return this.#frame.services;
  }

  /** Takes in the objects, in any version, of which another one is in force now, or none. */
  update(changed: readonly MeshObject[]): MeshChange {
    const before = this.#frame;
    const units = new Map(changed.filter(isUnit).map((object) => [objectKey(object.kind, object.meta), object]));
    const isFramed = ({ kind, meta }: MeshObject): boolean =>
      kind === 'Pod' && before.slices.refersTo.has(`${meta.namespace}/${meta.name}`);
    const isFrame = !changed.every(isUnit) || changed.some(isFramed);
    const stale = new Set(units.keys());
    const addresses = new Set<string>();
    if (isFrame) {
      this.#frame = compileFrame(this.#objects, this.#settings);
      this.#notices.set('frame', this.#frame.notices);
      for (const unit of this.#dependencies.renewAll()) stale.add(unit);
    }
    const flips = new Set<string>();
    let isAudienceChanged = false;
    for (const [key, named] of units) {
      const object = this.#find(named);
      const labelled = object && audienceOf(object);
      const known = this.#units.get(key)?.labelled;
      if (known !== undefined && this.#audience.remove(known)) isAudienceChanged = true;
      if (labelled !== undefined && this.#audience.add(labelled)) isAudienceChanged = true;
    }
    while (stale.size > 0) {
      flips.clear();
      for (const key of stale) {
        const named = units.get(key) ?? this.#units.get(key)?.object;
        if (named !== undefined) this.#makeUnit(key, this.#find(named), flips, addresses);
      }
      stale.clear();
      for (const unit of this.#dependencies.renew(flips)) stale.add(unit);
    }
    if (isFrame) {
      this.#renewAudience();
      this.#renewServiceClaims(addresses);
      this.#renewEndpoints();
    }
    if (isFrame || isAudienceChanged) this.#noteUnmatched();
    for (const address of addresses) this.#noteCollisions(address);
    const workloads = new Map(this.#workloads);
    this.#workloads.clear();
    return {
      workloads,
      services: isFrame ? changesOf(before.services, this.#frame.services) : new Map(),
      authorizations: isFrame ? changesOf(before.authorizations, this.#frame.authorizations) : new Map(),
    };
  }

  /** All that there is, as `compileMesh` would give it, but for the order of the notices. */
  current(): CompiledMesh {
    const own = [...this.#units.values()].flatMap(({ workload }) => workload ?? []);
    return {
      workloads: new Map([...this.#endpoints.values(), ...own].map((workload) => [workload.uid, workload])),
      services: this.#frame.services,
      authorizations: this.#frame.authorizations,
      notices: [...this.#notices.values()],
    };
  }

  /** The version that is in force. */
  #find({ kind, meta }: UnitObject): UnitObject | undefined {
    return this.#objects.find(kind, meta.namespace, meta.name);
  }

  #makeUnit(key: string, object: UnitObject | undefined, flips: Set<string>, addresses: Set<string>): void {
    const before = this.#units.get(key);
    const notices: Notice[] = [];
    const after = object && this.#dependencies.make(key, () => this.#compile(object, notices));
    if (after === undefined) {
      this.#dependencies.forget(key);
      this.#units.delete(key);
    } else this.#units.set(key, after);
    this.#notices.set(`unit ${key}`, notices);
    for (const backend of before?.readyFor ?? []) this.#countReady(backend, -1, flips);
    for (const backend of after?.readyFor ?? []) this.#countReady(backend, 1, flips);
    this.#claim(key, before, after, addresses);
    const uid = (after?.workload ?? before?.workload)?.uid;
    if (uid !== undefined && !isDeepStrictEqual(before?.workload, after?.workload))
      this.#workloads.set(uid, after?.workload);
  }

  #compile(object: UnitObject, notices: Notice[]): Unit {
    const context = this.#contextOf(notices);
    const workload = compileUnit(object, context);
    return {
      object,
      workload,
      labelled: audienceOf(object),
      readyFor: readyFor(object, context.backends),
      addresses: workload === undefined ? [] : addressesClaimed(workload),
    };
  }

  /** The frame as a unit sees it: each of its answers is one that the unit hangs on. */
  #contextOf(notices: Notice[]): WorkloadContext {
    const ask = this.#dependencies;
    const labelsKey = (namespace: string, labels: ReadonlyMap<string, string>): string =>
      JSON.stringify([namespace, ...labels]);
    return {
      settings: this.#settings,
      notices,
      backends: {
        find: (namespace, labels) =>
          ask.read(`backends ${labelsKey(namespace, labels)}`, () => this.#frame.backends.find(namespace, labels)),
      },
      addedBackends: { get: (pod) => ask.read(`added ${pod}`, () => this.#frame.slices.addedBackends.get(pod)) },
      hasReady: (backend) => ask.read(readyKey(backend), () => this.#hasReady(backend)),
      localities: { get: (node) => ask.read(`locality ${node}`, () => this.#frame.localities.get(node)) },
      findWaypoint: waypointLookup(
        (question) => ask.read(`waypoint ${JSON.stringify(question)}`, () => this.#frame.waypoints.find(question)),
        notices,
      ),
      findPolicies: (namespace, labels) =>
        ask.read(`policies ${labelsKey(namespace, labels)}`, () => this.#frame.findPolicies(namespace, labels)),
    };
  }

  #hasReady(backend: string): boolean {
    return this.#ready.has(backend) || this.#frame.slices.ready.has(backend);
  }

  #countReady(backend: string, change: 1 | -1, flips: Set<string>): void {
    const count = this.#ready.get(backend) ?? 0;
    if (count + change > 0) this.#ready.set(backend, count + change);
    else this.#ready.delete(backend);
    if (count === 0 || count + change === 0) flips.add(readyKey(backend));
  }

  #claim(key: string, before: Unit | undefined, after: Unit | undefined, addresses: Set<string>): void {
    for (const address of before?.addresses ?? []) {
      const claimants = this.#claims.get(address);
      claimants?.delete(key);
      if (claimants?.size === 0) this.#claims.delete(address);
      addresses.add(address);
    }
    if (after?.workload === undefined) return;
    for (const address of after.addresses) {
      const claimants = this.#claims.get(address) ?? new Map<string, Claimant>();
      this.#claims.set(address, claimants.set(key, { object: after.object, workload: after.workload }));
      addresses.add(address);
    }
  }

  #renewAudience(): void {
    const { rootNamespace } = this.#settings;
    const objects = this.#objects;
    const audience = new PolicyAudience(securityObjects(objects), rootNamespace, entryAudience(objects));
    for (const { labelled, count } of this.#audience.groups()) audience.add(labelled, count);
    this.#audience = audience;
  }

  #renewServiceClaims(addresses: Set<string>): void {
    const before = this.#serviceClaims;
    this.#serviceClaims = servicesByAddress(this.#objects, this.#settings, this.#frame.services);
    for (const address of [...before.keys(), ...this.#serviceClaims.keys()]) addresses.add(address);
  }

  #renewEndpoints(): void {
    const before = this.#endpoints;
    this.#endpoints = new Map(this.#frame.endpoints.map((workload) => [workload.uid, workload]));
    for (const [uid, workload] of changesOf(before, this.#endpoints)) this.#workloads.set(uid, workload);
  }

  #noteUnmatched(): void {
    const notices: Notice[] = [];
    noteUnmatchedPolicies(this.#objects, this.#audience, this.#settings, notices);
    this.#notices.set('policies', notices);
  }

  #noteCollisions(address: string): void {
    const claimants = [...(this.#claims.get(address)?.values() ?? [])].sort(byObject);
    const claims = { claimants, services: this.#serviceClaims.get(address) ?? [] };
    const notices = collisionsAt(address, claims, (object) => this.#objects.placeOf(object));
    this.#notices.set(`address ${address}`, notices);
  }
}

const EMPTY: ObjectSnapshot = {
  counts: () => new Map(),
  of: () => [],
  find: () => undefined,
  placeOf: () => '',
};

function readyKey(backend: string): string {
  return `ready ${backend}`;
}

/** The order in which the whole compilation comes to units: pods before machines, then by name. */
function byObject(a: Claimant, b: Claimant): number {
  const [one, other] = [a.object, b.object];
  return (
    compareText(one.kind, other.kind) ||
    compareText(one.meta.namespace, other.meta.namespace) ||
    compareText(one.meta.name, other.meta.name)
  );
}

/** What is new, another or gone. */
function changesOf<T>(before: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): Map<string, T | undefined> {
  const changes = new Map<string, T | undefined>();
  for (const [key, value] of now) if (!isDeepStrictEqual(before.get(key), value)) changes.set(key, value);
  for (const key of before.keys()) if (!now.has(key)) changes.set(key, undefined);
  return changes;
}
