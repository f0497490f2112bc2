// SPDX-License-Identifier: Apache-2.0

/** What DNS says of a host name at one moment. */
export type ResolvedName =
  /** Canonical text, of both families; at least one. */
  | { readonly kind: 'found'; readonly addresses: readonly string[] }
  /** The name has no address, or does not exist at all. */
  | { readonly kind: 'none'; readonly exists: boolean }
  /** Nobody could say. */
  | { readonly kind: 'failed' };
