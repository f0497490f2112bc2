// SPDX-License-Identifier: Apache-2.0

/** A workload's identity: `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

// A path segment of a SPIFFE ID (SPIFFE-ID §2.2): letters, digits, dot, dash, underscore.
const SEGMENT = /^[A-Za-z0-9._-]+$/;
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/**
 * Parses a SPIFFE ID of the fixed five-segment form that the mesh uses.
 *
 * Returns `undefined` for every other text, including SPIFFE IDs of another path form.
 * Source: ztunnel src/identity/manager.rs `Identity::from_str`; SPIFFE-ID §2.
 */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > 2048 || !text.startsWith('spiffe://')) return undefined;
  const parts = text.slice('spiffe://'.length).split('/');
  const [trustDomain, ns, namespace, sa, serviceAccount] = parts;
  if (parts.length !== 5 || ns !== 'ns' || sa !== 'sa') return undefined;
  if (trustDomain === undefined || !TRUST_DOMAIN.test(trustDomain)) return undefined;
  if (namespace === undefined || !SEGMENT.test(namespace)) return undefined;
  if (serviceAccount === undefined || !SEGMENT.test(serviceAccount)) return undefined;
  return { trustDomain, namespace, serviceAccount };
}

/** The URI form of an identity; the inverse of `parseSpiffeId`. */
export function formatSpiffeId(id: SpiffeId): string {
  return `spiffe://${formatPrincipal(id)}`;
}

/** The form in which a policy names an identity: the SPIFFE ID without `spiffe://`. */
export function formatPrincipal(id: SpiffeId): string {
  return `${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`;
}
