// SPDX-License-Identifier: Apache-2.0

import type { ObjectMeta } from './object-meta.ts';
import type { FieldProblem, ObjectReader } from './object-reader.ts';
import type { MeshKind, MeshObject } from './objects.ts';
import { readAuthorizationPolicy, standInAuthorizationPolicy } from './read-authorization-policy.ts';
import { readGateway } from './read-gateway.ts';
import { readPeerAuthentication, standInPeerAuthentication } from './read-peer-authentication.ts';
import { readPod } from './read-pod.ts';
import { readEndpointSlice, readService } from './read-service.ts';
import { readServiceEntry, readWorkloadEntry } from './read-service-entry.ts';

/** How one served kind is named and read. */
export interface KindEntry {
  readonly group: string;
  readonly kind: MeshKind;
  readonly versions: readonly string[];
  readonly namespaced: boolean;
  readonly read: (object: ObjectReader, meta: ObjectMeta) => MeshObject;
  /** For security kinds: what is in force while the first version of an object cannot be understood. */
  readonly standIn?: (object: MeshObject, problems: readonly FieldProblem[]) => MeshObject;
}

const CORE = { group: '', versions: ['v1'] } as const;
const NETWORKING = { group: 'networking.istio.io', versions: ['v1', 'v1beta1', 'v1alpha3'], namespaced: true } as const;
const SECURITY = { group: 'security.istio.io', versions: ['v1', 'v1beta1'], namespaced: true } as const;
const GATEWAY = { group: 'gateway.networking.k8s.io', versions: ['v1', 'v1beta1'], namespaced: true } as const;

const KINDS: readonly KindEntry[] = [
  { ...CORE, kind: 'Namespace', namespaced: false, read: (_, meta) => ({ kind: 'Namespace', meta }) },
  { ...CORE, kind: 'Node', namespaced: false, read: (_, meta) => ({ kind: 'Node', meta }) },
  { ...CORE, kind: 'ServiceAccount', namespaced: true, read: (_, meta) => ({ kind: 'ServiceAccount', meta }) },
  { ...CORE, kind: 'Pod', namespaced: true, read: readPod },
  { ...CORE, kind: 'Service', namespaced: true, read: readService },
  { group: 'discovery.k8s.io', versions: ['v1'], kind: 'EndpointSlice', namespaced: true, read: readEndpointSlice },
  { ...NETWORKING, kind: 'ServiceEntry', read: readServiceEntry },
  { ...NETWORKING, kind: 'WorkloadEntry', read: readWorkloadEntry },
  { ...GATEWAY, kind: 'Gateway', read: readGateway },
  {
    ...SECURITY,
    kind: 'PeerAuthentication',
    read: readPeerAuthentication,
    standIn: (object, problems) =>
      object.kind === 'PeerAuthentication' ? standInPeerAuthentication(object, problems) : object,
  },
  {
    ...SECURITY,
    kind: 'AuthorizationPolicy',
    read: readAuthorizationPolicy,
    standIn: (object, problems) =>
      object.kind === 'AuthorizationPolicy' ? standInAuthorizationPolicy(object, problems) : object,
  },
];

// Kinds of the security group that exist and are not served: skipping them is no surprise.
const SECURITY_KINDS_SKIPPED: readonly string[] = ['RequestAuthentication'];

export type KindLookup =
  | { readonly result: 'served'; readonly entry: KindEntry }
  /** Not ours: named in a notice and left out. */
  | { readonly result: 'skipped' }
  /** Meant for us, but not readable: a version we do not know, or a kind of the security group that does not exist. */
  | { readonly result: 'refused'; readonly field: string; readonly reason: string };

/** Finds how an object is read, by `apiVersion` and `kind`. */
export function lookUpKind(apiVersion: string, kind: string): KindLookup {
  const slash = apiVersion.lastIndexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  const entry = KINDS.find((candidate) => candidate.group === group && candidate.kind === kind);
  if (entry?.versions.includes(version)) return { result: 'served', entry };
  if (entry !== undefined) {
    return {
      result: 'refused',
      field: 'apiVersion',
      reason: `unknown version "${apiVersion}"; known: ${entry.versions.join(', ')}`,
    };
  }
  if (group === SECURITY.group && !SECURITY_KINDS_SKIPPED.includes(kind)) {
    return { result: 'refused', field: 'kind', reason: `there is no kind "${kind}" in ${group}` };
  }
  return { result: 'skipped' };
}
