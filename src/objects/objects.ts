// SPDX-License-Identifier: Apache-2.0

import type { AppProtocol } from '../model/service.ts';
import type { Locality } from '../model/workload.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { AuthorizationPolicyObject, PeerAuthenticationObject } from './security-objects.ts';

export interface NamespaceObject {
  readonly kind: 'Namespace';
  readonly meta: ObjectMeta;
}

export interface NodeObject {
  readonly kind: 'Node';
  readonly meta: ObjectMeta;
}

export interface ServiceAccountObject {
  readonly kind: 'ServiceAccount';
  readonly meta: ObjectMeta;
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface ContainerPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
}

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';

export interface PodObject {
  readonly kind: 'Pod';
  readonly meta: ObjectMeta;
  readonly nodeName: string;
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
  readonly ports: readonly ContainerPort[];
  readonly addresses: readonly string[];
  readonly phase: PodPhase;
  readonly ready: boolean;
  /** Its name below the headless Service `subdomain`; both "" where it has none. */
  readonly hostname: string;
  readonly subdomain: string;
}

export type IpFamily = 'IPv4' | 'IPv6';

export interface ServiceObjectPort {
  readonly name: string;
  readonly port: number;
  /** A number, or the name of a container port that each pod resolves for itself. */
  readonly targetPort: number | string;
  /** Nothing says where the port leads: a port of its name in the workload comes before `targetPort`. */
  readonly targetByName: boolean;
  readonly protocol: Protocol;
  readonly appProtocol: AppProtocol;
}

export interface ServiceObject {
  readonly kind: 'Service';
  readonly meta: ObjectMeta;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly headless: boolean;
  readonly clusterIps: readonly string[];
  readonly ipFamilies: readonly IpFamily[];
  readonly ipFamilyPolicy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  /** Of type ExternalName: the name that this is another one for, lower case and without a dot at its end; else "". */
  readonly externalName: string;
  /** 0: no affinity. */
  readonly affinityTimeoutSeconds: number;
  /** As in a ServiceEntry. */
  readonly exportTo: readonly string[];
  readonly ports: readonly ServiceObjectPort[];
  /** Empty: the endpoints come from EndpointSlices. */
  readonly selector: ReadonlyMap<string, string>;
  readonly internalTrafficLocal: boolean;
  readonly trafficDistribution: string;
  readonly publishNotReadyAddresses: boolean;
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly ready: boolean;
  /** Told to end; it may serve all the same until it has. */
  readonly terminating: boolean;
  readonly serving: boolean;
  /** "" = none. */
  readonly hostname: string;
  readonly targetRef?: {
    readonly kind: string;
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
  };
}

export interface EndpointSliceObject {
  readonly kind: 'EndpointSlice';
  readonly meta: ObjectMeta;
  /** Name of the Service the slice belongs to; "" = none. */
  readonly serviceName: string;
  /** Made by a controller of Kubernetes, of what a selector says. */
  readonly managed: boolean;
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: Protocol }[];
  readonly endpoints: readonly SliceEndpoint[];
}

/** A machine outside Kubernetes: a WorkloadEntry's spec, or one inline endpoint of a ServiceEntry. */
export interface MachineSpec {
  /** An IP address, a host name, or a `unix://` path; "" = none given. */
  readonly address: string;
  readonly ports: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<string, string>;
  readonly network: string;
  readonly serviceAccount: string;
  readonly weight: number;
  readonly locality?: Locality;
}

export interface WorkloadEntryObject {
  readonly kind: 'WorkloadEntry';
  readonly meta: ObjectMeta;
  readonly machine: MachineSpec;
}

export interface ServiceEntryObject {
  readonly kind: 'ServiceEntry';
  readonly meta: ObjectMeta;
  readonly hosts: readonly string[];
  readonly addresses: readonly string[];
  /** Addresses a controller gave to a host, from `status`. */
  readonly assigned: readonly { readonly host: string; readonly address: string }[];
  readonly ports: readonly ServiceObjectPort[];
  readonly resolution: 'NONE' | 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN' | 'DYNAMIC_DNS';
  readonly endpoints: readonly MachineSpec[];
  /** Absent: no selector. Empty selects nothing. */
  readonly workloadSelector?: ReadonlyMap<string, string>;
  readonly exportTo: readonly string[];
  readonly subjectAltNames: readonly string[];
}

export type WaypointFor = 'service' | 'workload' | 'all' | 'none';

/** A Gateway, reduced to what makes it a waypoint. */
export interface GatewayObject {
  readonly kind: 'Gateway';
  readonly meta: ObjectMeta;
  readonly className: string;
  readonly waypointFor: WaypointFor;
  readonly hboneListeners: readonly {
    readonly port: number;
    readonly from: 'Same' | 'All' | 'Selector' | 'None';
    readonly selector: ReadonlyMap<string, string>;
  }[];
  readonly addresses: readonly { readonly type: 'IPAddress' | 'Hostname'; readonly value: string }[];
}

/** One validated object of a kind that the mesh serves. */
export type MeshObject =
  | NamespaceObject
  | NodeObject
  | ServiceAccountObject
  | PodObject
  | ServiceObject
  | EndpointSliceObject
  | WorkloadEntryObject
  | ServiceEntryObject
  | GatewayObject
  | PeerAuthenticationObject
  | AuthorizationPolicyObject;

export type MeshKind = MeshObject['kind'];
export type ObjectOfKind<K extends MeshKind> = Extract<MeshObject, { kind: K }>;

/** Whether labels carry every pair of a selector. An empty selector selects nothing: callers decide what empty means. */
export function selects(selector: ReadonlyMap<string, string>, labels: ReadonlyMap<string, string>): boolean {
  if (selector.size === 0) return false;
  for (const [key, value] of selector) if (labels.get(key) !== value) return false;
  return true;
}
