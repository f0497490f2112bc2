// SPDX-License-Identifier: Apache-2.0

import type { GatewayAddress, ServicePort } from './service.ts';

/** How a workload is to be reached: in plain TCP, or through HBONE on its port 15008. */
export type TunnelProtocol = 'NONE' | 'HBONE';
export type WorkloadType = 'DEPLOYMENT' | 'CRONJOB' | 'POD' | 'JOB';
export type WorkloadStatus = 'HEALTHY' | 'UNHEALTHY';
export type NetworkMode = 'STANDARD' | 'HOST_NETWORK';

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

/** How a waypoint wants its connections handed over when it does not speak HBONE itself. */
export interface ApplicationTunnel {
  readonly protocol: 'NONE' | 'PROXY';
  readonly port: number;
}

/**
 * A pod or machine that the control plane told us of; key `uid`.
 *
 * Shape: `istio.workload.Workload` with its documented defaults filled in (trust domain, service account, cluster,
 * capacity). `addresses` are canonical text (see `address.ts`); `services` is keyed by `namespace/hostname`;
 * `authorizationPolicies` are `namespace/name`.
 * Source: reference field list, proto/istio/workload.proto.
 */
export interface Workload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly hostname: string;
  readonly network: string;
  readonly tunnelProtocol: TunnelProtocol;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly waypoint?: GatewayAddress;
  readonly networkGateway?: GatewayAddress;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: WorkloadType;
  readonly workloadName: string;
  readonly nativeTunnel: boolean;
  readonly applicationTunnel?: ApplicationTunnel;
  readonly services: ReadonlyMap<string, readonly ServicePort[]>;
  readonly authorizationPolicies: readonly string[];
  readonly status: WorkloadStatus;
  readonly clusterId: string;
  readonly locality?: Locality;
  readonly networkMode: NetworkMode;
  readonly capacity: number;
  /** Its name below the host name of a Service, by the key of that Service; from our own control plane only. */
  readonly hostnames?: ReadonlyMap<string, string>;
}

/** Of several workloads that claim one address, the one with the highest rank has it. */
export function addressRank({ uid, tunnelProtocol }: Workload): number {
  return (uid.includes('//Pod/') ? 2 : 0) + (tunnelProtocol === 'HBONE' ? 1 : 0);
}
