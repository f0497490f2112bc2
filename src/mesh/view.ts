// SPDX-License-Identifier: Apache-2.0

import type { Authorization } from '../model/policy.ts';
import type { Service, ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { ResolvedName } from './resolved-name.ts';

/** Our own network; others are reached through gateways. */
export const NETWORK = '';

/** A workload that serves a Service, and the ports on which it says it does. */
export interface Endpoint {
  readonly workload: Workload;
  readonly ports: readonly ServicePort[];
}

/**
 * What a decision may read of the mesh: one moment of it, since decisions never await.
 *
 * Each method has a dependency key beside it (below). A decision that used a method keeps the key, whatever the answer
 * was: "not found" is an answer that a later change can overturn as well.
 */
export interface MeshView {
  findWorkload(uid: string): Workload | undefined;
  /** Of several workloads at one address: a Pod before others, then one that speaks HBONE, then the first known. */
  findWorkloadByAddress(network: string, address: string): Workload | undefined;
  findService(key: string): Service | undefined;
  /** Services whose hostname this is, one a namespace. Lower case. */
  servicesByHostname(hostname: string): readonly Service[];
  /** Services that have exactly this address. */
  servicesByAddress(network: string, address: string): readonly Service[];
  /** Services that have a range around this address, longest prefix first. */
  servicesByRange(network: string, address: string): readonly RangedService[];
  /** By workload uid; also of a Service that has not been received yet. */
  endpointsOf(serviceKey: string): ReadonlyMap<string, Endpoint>;
  findPolicy(key: string): Authorization | undefined;
  /** Policies of scope NAMESPACE there; "" gives those of scope GLOBAL. */
  policiesOfNamespace(namespace: string): readonly Authorization[];
  /** Whether a workload or Service has this address that was rejected, so that what it wants is not known. */
  isRejectedAddress(network: string, address: string): boolean;
  /** What DNS says of a host name that an endpoint is known by; `undefined` until somebody asked for it. Lower case. */
  findName(hostname: string): ResolvedName | undefined;
  /** Names of rejected policies of which no earlier form is in force; scopes as above. */
  rejectedPoliciesOfNamespace(namespace: string): readonly string[];
}

/** A Service found through a range of addresses. */
export interface RangedService {
  readonly service: Service;
  readonly prefixLength: number;
}

/** Names one thing that a decision read. Text, so that it can be a map key. */
export type DependencyKey = string;

export const dependency = {
  workload: (uid: string): DependencyKey => `workload/${uid}`,
  address: (network: string, address: string): DependencyKey => `address/${network}/${address}`,
  /** Every range of a network is one key: ranges are few, and a question that reaches them read them all. */
  ranges: (network: string): DependencyKey => `ranges/${network}`,
  service: (key: string): DependencyKey => `service/${key}`,
  hostname: (hostname: string): DependencyKey => `hostname/${hostname}`,
  endpoints: (serviceKey: string): DependencyKey => `endpoints/${serviceKey}`,
  policy: (key: string): DependencyKey => `policy/${key}`,
  /** "" = the policies of scope GLOBAL. */
  policies: (namespace: string): DependencyKey => `policies/${namespace}`,
  /** Changed by the agent, which resolves it. */
  name: (hostname: string): DependencyKey => `name/${hostname}`,
  /** The endpoint that a client keeps to; changed by the agent. */
  affinity: (clientUid: string, serviceKey: string): DependencyKey => `affinity/${clientUid}/${serviceKey}`,
  /** Whether this workload is a captured pod of this node; changed by the agent, not by the control plane. */
  pod: (workloadUid: string): DependencyKey => `pod/${workloadUid}`,
} as const;
