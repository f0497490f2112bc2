// SPDX-License-Identifier: Apache-2.0

export type PolicyScope = 'GLOBAL' | 'NAMESPACE' | 'WORKLOAD_SELECTOR';
export type PolicyAction = 'ALLOW' | 'DENY';

export type StringMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'suffix'; readonly value: string }
  | { readonly kind: 'presence' };

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A range of addresses: canonical text and prefix length. */
export interface AddressRange {
  readonly address: string;
  readonly prefixLength: number;
}

/** Kinds are ANDed, values of a kind ORed, `not*` means that none matches. All empty: never matches. */
export interface PolicyMatch {
  readonly namespaces: readonly StringMatch[];
  readonly notNamespaces: readonly StringMatch[];
  readonly principals: readonly StringMatch[];
  readonly notPrincipals: readonly StringMatch[];
  readonly serviceAccounts: readonly ServiceAccountMatch[];
  readonly notServiceAccounts: readonly ServiceAccountMatch[];
  readonly sourceIps: readonly AddressRange[];
  readonly notSourceIps: readonly AddressRange[];
  readonly destinationIps: readonly AddressRange[];
  readonly notDestinationIps: readonly AddressRange[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
}

/** Matches are ORed. */
export interface PolicyClause {
  readonly matches: readonly PolicyMatch[];
}

/** Clauses are ANDed. */
export interface PolicyRule {
  readonly clauses: readonly PolicyClause[];
}

/** One L4 policy; key `namespace/name`. Shape: `istio.security.Authorization`. Rules are ORed; none: never matches. */
export interface Authorization {
  readonly name: string;
  readonly namespace: string;
  readonly scope: PolicyScope;
  readonly action: PolicyAction;
  readonly rules: readonly PolicyRule[];
  readonly dryRun: boolean;
}

/** The key of a policy in the mesh: `namespace/name`. */
export function policyKey(policy: Pick<Authorization, 'namespace' | 'name'>): string {
  return `${policy.namespace}/${policy.name}`;
}
