// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import type { Authorization } from '../model/policy.ts';
import type { ResourceRemains } from '../model/rejected-resource.ts';
import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';

export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';
export const AUTHORIZATION_TYPE = 'type.googleapis.com/istio.security.Authorization';

/** The types a stock node subscribes to, in the order in which it asks. */
export const RESOURCE_TYPES = [ADDRESS_TYPE, AUTHORIZATION_TYPE] as const;
export type ResourceType = (typeof RESOURCE_TYPES)[number];

export function isResourceType(typeUrl: string): typeUrl is ResourceType {
  return (RESOURCE_TYPES as readonly string[]).includes(typeUrl);
}

/** One thing the mesh knows, as discovery carries it. */
export type MeshObject =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service }
  | { readonly kind: 'authorization'; readonly authorization: Authorization };

/** A resource ready for the wire. */
export interface EncodedResource {
  readonly type: ResourceType;
  readonly name: string;
  /** Other names by which it can be asked for: `network/address[/length]`. */
  readonly aliases: readonly string[];
  /** Services that a workload belongs to; who asks for the Service gets the workload too. */
  readonly memberOf: readonly string[];
  /** Hash of the content, so that it is the same after a restart. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

/** What of the mesh's resources is another than before. */
export interface ResourceChanges {
  readonly upserts: readonly EncodedResource[];
  readonly removals: readonly Pick<EncodedResource, 'type' | 'name'>[];
}

/** A resource that could not be understood; a value, carried into a NACK. The last good one stays in force. */
export interface ResourceRejected {
  readonly kind: 'rejected';
  readonly type: string;
  readonly name: string;
  /** Position in the response it came in. */
  readonly index: number;
  /** Path of the field and what is wrong with it. */
  readonly reason: string;
  /** Where what it says is not known, and nothing may pass by a guess. */
  readonly remains: ResourceRemains;
}

/** The version of a resource with this content. */
export function contentVersion(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}
