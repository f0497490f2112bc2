// SPDX-License-Identifier: Apache-2.0

import { isNear } from '../model/edit-distance.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { FieldProblem, ObjectReader } from './object-reader.ts';
import type { MeshKind, MeshObject } from './objects.ts';
import { shown } from './problem.ts';
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
// Of others that have kinds of these names, too.
const FOREIGN_GROUPS: readonly string[] = ['policy.linkerd.io', 'consul.hashicorp.com', 'kuma.io', 'kuadrant.io'];
const DISTANCE_MAX = 3;
// Long enough to be nobody else's word.
const OWN_WORD_MIN = 9;

export type KindLookup =
  | { readonly result: 'served'; readonly entry: KindEntry }
  /** Not ours: named in a notice and left out. */
  | { readonly result: 'skipped'; readonly meant?: string }
  /** Meant for us, as that kind, but not as it is written: what it is about can be read, what it says cannot be trusted. */
  | { readonly result: 'refused'; readonly entry: KindEntry; readonly field: string; readonly reason: string };

/**
 * Finds how an object is read, by `apiVersion` and `kind`.
 *
 * What looks like a security object is never skipped: whoever wrote it believes that it protects something. Its kind or
 * group may be misspelt, its version one that we do not know, its group forgotten.
 */
export function lookUpKind(apiVersion: string, kind: string): KindLookup {
  const slash = apiVersion.lastIndexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  const exact = KINDS.find((candidate) => candidate.group === group && candidate.kind === kind);
  if (exact?.versions.includes(version)) return { result: 'served', entry: exact };
  if (exact !== undefined) {
    const reason = `unknown version "${apiVersion}"; known: ${exact.versions.join(', ')}`;
    return { result: 'refused', entry: exact, field: 'apiVersion', reason };
  }
  const security = FOREIGN_GROUPS.includes(group) ? undefined : findSecurityKind(group, kind);
  if (security !== undefined) {
    const reason = `there is no ${shown(kind)} of ${shown(apiVersion)}; did you mean ${security.kind} of ${SECURITY.group}/v1?`;
    return { result: 'refused', entry: security, field: security.kind === kind ? 'apiVersion' : 'kind', reason };
  }
  const meant = KINDS.find(
    (one) => resembles(kind, one.kind) && (resembles(group, one.group) || one.kind.length >= OWN_WORD_MIN),
  );
  return { result: 'skipped', ...(meant && { meant: apiVersionOf(meant) }) };
}

/** The security kind that was meant, if one was. */
function findSecurityKind(group: string, kind: string): KindEntry | undefined {
  const inGroup = resembles(group, SECURITY.group) || group.toLowerCase().includes('istio');
  if (inGroup && SECURITY_KINDS_SKIPPED.some((known) => resembles(kind, known))) return undefined;
  const candidates = KINDS.filter((one) => one.standIn !== undefined);
  const near = candidates.find((one) => resembles(kind, one.kind));
  if (near !== undefined) return near;
  if (!resembles(group, SECURITY.group) && !(inGroup && /auth|polic/i.test(kind))) return undefined;
  return candidates.find(
    (one) => one.kind === (/peer|mtls|tls/i.test(kind) ? 'PeerAuthentication' : 'AuthorizationPolicy'),
  );
}

function apiVersionOf({ group, versions, kind }: KindEntry): string {
  return `${kind} of ${group === '' ? '' : `${group}/`}${versions[0] ?? ''}`;
}

// Of a short word a few letters are half of it.
function resembles(text: string, known: string): boolean {
  return isNear(text, known, Math.min(DISTANCE_MAX, Math.floor(known.length / 4)));
}
