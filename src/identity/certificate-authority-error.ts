// SPDX-License-Identifier: Apache-2.0

/** The authority's files cannot be used; the message says which and what to do. */
export class CertificateAuthorityError extends Error {
  override readonly name = 'CertificateAuthorityError';
}
