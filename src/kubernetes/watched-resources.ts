// SPDX-License-Identifier: Apache-2.0

import type { MeshKind } from '../objects/objects.ts';

/** A resource that the control plane follows. */
export interface WatchedResource {
  readonly kind: MeshKind;
  readonly path: string;
  /** A CRD, which a cluster may come without. */
  readonly optional: boolean;
}

function core(kind: MeshKind, plural: string): WatchedResource {
  return { kind, path: `/api/v1/${plural}`, optional: false };
}

function istio(kind: MeshKind, group: string, plural: string): WatchedResource {
  return { kind, path: `/apis/${group}.istio.io/v1/${plural}`, optional: true };
}

/** Everything that the mesh is made of, as the rights in deploy/ name it. */
export const WATCHED_RESOURCES: readonly WatchedResource[] = [
  core('Namespace', 'namespaces'),
  core('Node', 'nodes'),
  core('ServiceAccount', 'serviceaccounts'),
  core('Pod', 'pods'),
  core('Service', 'services'),
  { kind: 'EndpointSlice', path: '/apis/discovery.k8s.io/v1/endpointslices', optional: false },
  istio('PeerAuthentication', 'security', 'peerauthentications'),
  istio('AuthorizationPolicy', 'security', 'authorizationpolicies'),
  istio('ServiceEntry', 'networking', 'serviceentries'),
  istio('WorkloadEntry', 'networking', 'workloadentries'),
  { kind: 'Gateway', path: '/apis/gateway.networking.k8s.io/v1/gateways', optional: true },
];
