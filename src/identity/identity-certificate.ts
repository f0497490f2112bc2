// SPDX-License-Identifier: Apache-2.0

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import { splitPem } from './pem.ts';

/** A certificate that this node uses, with its key: memory only. */
export interface IdentityCertificate {
  readonly identity: SpiffeId;
  /** Leaf and intermediates, each PEM. */
  readonly chain: readonly string[];
  readonly rootsPem: string;
  readonly privateKeyPem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * Checks what an authority answered before it is used: right name and no other, right key, no authority, valid now, chained to the roots it came with.
 *
 * `answer` is leaf, intermediates, and last the trust roots. Throws an `Error` that says what does not hold.
 */
export function checkIssued(
  identity: SpiffeId,
  privateKeyPem: string,
  answer: readonly string[],
  nowMs: number,
): IdentityCertificate {
  const rootsPem = answer.at(-1) ?? '';
  const roots = splitPem(rootsPem).map((pem) => new X509Certificate(pem));
  const chain = answer.slice(0, -1).flatMap(splitPem);
  const certificates = chain.map((pem) => new X509Certificate(pem));
  const [leaf] = certificates;
  if (leaf === undefined || roots.length === 0)
    throw new Error('the authority answered without a certificate or without its roots');
  const wanted = formatSpiffeId(identity);
  if (leaf.subjectAltName !== `URI:${wanted}`) {
    throw new Error(`the authority signed for ${leaf.subjectAltName ?? 'no name'} where ${wanted} was asked for`);
  }
  if (leaf.ca) throw new Error(`the authority signed ${wanted} as an authority, where SPIFFE allows none`);
  if (!leaf.checkPrivateKey(createPrivateKey(privateKeyPem)))
    throw new Error('the certificate is for another key than was sent');
  const notBeforeMs = leaf.validFromDate.getTime();
  const notAfterMs = leaf.validToDate.getTime();
  if (nowMs < notBeforeMs || nowMs >= notAfterMs) {
    throw new Error(
      `the certificate is valid from ${iso(notBeforeMs)} to ${iso(notAfterMs)} only; compare the clocks of node and control plane`,
    );
  }
  checkChain(certificates, roots);
  return { identity, chain, rootsPem, privateKeyPem, notBeforeMs, notAfterMs };
}

function checkChain(certificates: readonly X509Certificate[], roots: readonly X509Certificate[]): void {
  for (const [index, certificate] of certificates.entries()) {
    const next = certificates[index + 1];
    const issuers = next === undefined ? roots : [next];
    if (
      !issuers.some((issuer) => issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))
    ) {
      throw new Error(
        `certificate ${index} of the chain is not signed by ${next === undefined ? 'a trust root' : 'the next one'}`,
      );
    }
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
