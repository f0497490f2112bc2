// SPDX-License-Identifier: Apache-2.0

import { X509Certificate } from 'node:crypto';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates in a text, each as PEM of its own with one newline at its end. */
export function splitPem(text: string): string[] {
  return (text.match(CERTIFICATE) ?? []).map((pem) => `${pem}\n`);
}

/** Throws an `Error` that says so when a text has no certificate in PEM, or one that cannot be read. */
export function checkPemCertificates(text: string): void {
  const pems = splitPem(text);
  if (pems.length === 0) throw new Error('it holds no PEM certificate');
  for (const [index, pem] of pems.entries()) {
    if (!isCertificate(pem)) throw new Error(`certificate ${index + 1} of ${pems.length} in it is damaged`);
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).fingerprint256 !== '';
  } catch {
    return false;
  }
}
