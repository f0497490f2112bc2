// SPDX-License-Identifier: Apache-2.0

export type AppProtocol = 'UNKNOWN' | 'HTTP11' | 'HTTP2' | 'GRPC' | 'TCP' | 'TLS';
export type LoadBalancingScope = 'REGION' | 'ZONE' | 'SUBZONE' | 'NODE' | 'CLUSTER' | 'NETWORK';
export type LoadBalancingMode = 'UNSPECIFIED_MODE' | 'STRICT' | 'FAILOVER' | 'PASSTHROUGH';
export type HealthPolicy = 'ONLY_HEALTHY' | 'ALLOW_ALL';
export type IpFamilies = 'AUTOMATIC' | 'IPV4_ONLY' | 'IPV6_ONLY' | 'DUAL';

/** One port of a Service, as the Service names it or as one workload serves it. */
export interface ServicePort {
  readonly servicePort: number;
  /** 0 in a Service means that the port is named and each workload says which it is. */
  readonly targetPort: number;
  readonly appProtocol: AppProtocol;
}

/** An address on a named network ("" = the only one); `prefixLength` makes it a range. */
export interface NetworkAddress {
  readonly network: string;
  readonly address: string;
  readonly prefixLength?: number;
}

/** Where a waypoint or network gateway is: by Service hostname or by address. */
export interface GatewayAddress {
  readonly destination:
    | { readonly kind: 'hostname'; readonly namespace: string; readonly hostname: string }
    | { readonly kind: 'address'; readonly network: string; readonly address: string };
  readonly hboneMtlsPort: number;
}

export interface LoadBalancing {
  readonly routingPreference: readonly LoadBalancingScope[];
  readonly mode: LoadBalancingMode;
  readonly healthPolicy: HealthPolicy;
}

/** A Service; key `namespace/hostname`. Shape: `istio.workload.Service` with defaults filled in. */
export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly addresses: readonly NetworkAddress[];
  readonly ports: readonly ServicePort[];
  readonly subjectAltNames: readonly string[];
  readonly waypoint?: GatewayAddress;
  readonly loadBalancing?: LoadBalancing;
  readonly ipFamilies: IpFamilies;
  readonly canonical: boolean;
  readonly ingressUseWaypoint: boolean;
  readonly visibility: 'PUBLIC' | 'NAMESPACE';
  readonly extension?: ServiceExtension;
}

/** What our own control plane says of a Service beyond Istio's words. */
export interface ServiceExtension {
  /** The Service is only another name for this one, lower case; "" = it is itself. */
  readonly externalName: string;
  /** Namespaces that see the Service beside its own; with visibility NAMESPACE. */
  readonly exportTo: readonly string[];
  /** Connections of one client go to one endpoint, at least until it has been away for so long; 0 = no affinity. */
  readonly affinityTimeoutSeconds: number;
  /** Every port with its name, also those that the mesh does not carry. */
  readonly ports: readonly NamedPort[];
}

export interface NamedPort {
  readonly name: string;
  /** As in an SRV record. */
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
}

/** The key of a Service in the mesh: `namespace/hostname`. */
export function serviceKey(service: Pick<Service, 'namespace' | 'hostname'>): string {
  return `${service.namespace}/${service.hostname}`;
}
