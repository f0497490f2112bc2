// SPDX-License-Identifier: Apache-2.0

import type { LocalPod, LocalPods } from '#src/mesh/resolve-outbound.ts';
import { type MeshDelta, MeshStore } from '#src/mesh/store.ts';
import type { Authorization, PolicyMatch } from '#src/model/policy.ts';
import type { Service, ServicePort } from '#src/model/service.ts';
import type { Workload } from '#src/model/workload.ts';

/** A healthy HBONE pod of namespace shop on node n1; its service account is its name. */
export function aWorkload(name: string, address: string, fields: Partial<Workload> = {}): Workload {
  const namespace = fields.namespace ?? 'shop';
  return {
    uid: `Kubernetes//Pod/${namespace}/${name}`,
    name,
    namespace,
    addresses: [address],
    hostname: '',
    network: '',
    tunnelProtocol: 'HBONE',
    trustDomain: 'cluster.local',
    serviceAccount: name,
    node: 'n1',
    canonicalName: name,
    canonicalRevision: 'v1',
    workloadType: 'DEPLOYMENT',
    workloadName: name,
    nativeTunnel: false,
    services: new Map(),
    authorizationPolicies: [],
    status: 'HEALTHY',
    clusterId: 'Kubernetes',
    networkMode: 'STANDARD',
    capacity: 1,
    ...fields,
  };
}

/** A public Service of namespace shop: port 80 to 8080, port 443 to the named port. */
export function aService(name: string, address: string | undefined, fields: Partial<Service> = {}): Service {
  const namespace = fields.namespace ?? 'shop';
  return {
    name,
    namespace,
    hostname: `${name}.${namespace}.svc.cluster.local`,
    addresses: address === undefined ? [] : [{ network: '', address }],
    ports: [port(80, 8080), port(443, 0)],
    subjectAltNames: [],
    ipFamilies: 'AUTOMATIC',
    canonical: false,
    ingressUseWaypoint: false,
    visibility: 'PUBLIC',
    ...fields,
  };
}

export function port(servicePort: number, targetPort: number): ServicePort {
  return { servicePort, targetPort, appProtocol: 'TCP' };
}

/** The `services` field of an endpoint of that Service. */
export function serving(service: string, ports: readonly ServicePort[] = []): Pick<Workload, 'services'> {
  const key = service.includes('/') ? service : `shop/${service}.shop.svc.cluster.local`;
  return { services: new Map([[key, ports]]) };
}

export function aMatch(fields: Partial<PolicyMatch>): PolicyMatch {
  return {
    namespaces: [],
    notNamespaces: [],
    principals: [],
    notPrincipals: [],
    serviceAccounts: [],
    notServiceAccounts: [],
    sourceIps: [],
    notSourceIps: [],
    destinationIps: [],
    notDestinationIps: [],
    destinationPorts: [],
    notDestinationPorts: [],
    ...fields,
  };
}

/** A policy of one rule with one clause with one match, unless `rules` says otherwise. */
export function aPolicy(name: string, match: Partial<PolicyMatch>, fields: Partial<Authorization> = {}): Authorization {
  return {
    name,
    namespace: 'shop',
    scope: 'NAMESPACE',
    action: 'ALLOW',
    rules: [{ clauses: [{ matches: [aMatch(match)] }] }],
    dryRun: false,
    ...fields,
  };
}

export function aStore(delta: MeshDelta): MeshStore {
  const store = new MeshStore();
  const { rejected } = store.apply(delta);
  if (rejected.length > 0) throw new Error(`fixture rejected: ${JSON.stringify(rejected)}`);
  return store;
}

/** Local pods by workload name in namespace shop. */
export function localPods(pods: Readonly<Record<string, LocalPod['sameNodeMode']>>): LocalPods {
  const handles = new Map(
    Object.entries(pods).map(([name, sameNodeMode], index) => [
      `Kubernetes//Pod/shop/${name}`,
      { handle: index + 1, sameNodeMode },
    ]),
  );
  return { findCapturedPod: (uid) => handles.get(uid) };
}
