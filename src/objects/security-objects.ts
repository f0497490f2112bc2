// SPDX-License-Identifier: Apache-2.0

import type { AddressRange, ServiceAccountMatch, StringMatch } from '../model/policy.ts';
import type { ObjectMeta } from './object-meta.ts';

export type MtlsMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';

export interface PeerAuthenticationObject {
  readonly kind: 'PeerAuthentication';
  readonly meta: ObjectMeta;
  /** Empty: the policy is of its whole namespace, or of the mesh in the root namespace. */
  readonly selector: ReadonlyMap<string, string>;
  readonly mode: MtlsMode;
  /** Keyed by the port of the container, not of the Service. */
  readonly portModes: ReadonlyMap<number, MtlsMode>;
  /** Why the object could not be understood. The compiler then takes it for STRICT in its scope. */
  readonly unreadable?: string;
}

/** A list of values and its `not…` twin. */
export interface Both<T> {
  readonly in: readonly T[];
  readonly notIn: readonly T[];
}

/** One `from[].source`, or what one `when` says about the source. */
export interface SourceMatch {
  readonly principals: Both<StringMatch>;
  readonly namespaces: Both<StringMatch>;
  readonly serviceAccounts: Both<ServiceAccountMatch>;
  readonly ipBlocks: Both<AddressRange>;
  readonly trustDomains: Both<StringMatch>;
  /** Attributes named here that only an L7 proxy can see. */
  readonly l7: readonly string[];
}

/** One `to[].operation`. */
export interface OperationMatch {
  readonly ports: Both<number>;
  readonly l7: readonly string[];
}

export type Condition =
  | { readonly on: 'source'; readonly source: SourceMatch }
  | { readonly on: 'destinationIps'; readonly ranges: Both<AddressRange> }
  | { readonly on: 'destinationPorts'; readonly ports: Both<number> }
  | { readonly on: 'l7'; readonly key: string };

export interface PolicyObjectRule {
  readonly sources: readonly SourceMatch[];
  readonly operations: readonly OperationMatch[];
  readonly conditions: readonly Condition[];
}

export interface TargetRef {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

export interface AuthorizationPolicyObject {
  readonly kind: 'AuthorizationPolicy';
  readonly meta: ObjectMeta;
  /** Empty: of the whole namespace, or of the mesh in the root namespace. */
  readonly selector: ReadonlyMap<string, string>;
  /** Not empty: enforced by waypoints only. */
  readonly targetRefs: readonly TargetRef[];
  readonly action: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
  readonly dryRun: boolean;
  readonly rules: readonly PolicyObjectRule[];
  /** Why the object could not be understood. The compiler then denies in its scope, whatever the fields say. */
  readonly unreadable?: string;
}
