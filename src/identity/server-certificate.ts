// SPDX-License-Identifier: Apache-2.0

import { generateKeyPairSync } from 'node:crypto';
import { isIP } from 'node:net';
import type { CertificateAuthority } from './certificate-authority.ts';
import * as x509 from './x509.ts';

export interface ServerCertificate {
  /** PEM, leaf and intermediates. */
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly notAfterMs: number;
}

/** A certificate for the control plane's own server, for DNS names and IP addresses alike. */
export async function issueServerCertificate(
  authority: CertificateAuthority,
  names: readonly string[],
  lifetimeMs: number,
): Promise<ServerCertificate> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificatePem = await authority.signServer({
    publicKey: new x509.PublicKey(publicKey.export({ format: 'der', type: 'spki' })),
    subjectAltNames: names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
    lifetimeMs,
  });
  return {
    certificatePem,
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    notAfterMs: new x509.X509Certificate(certificatePem).notAfter.getTime(),
  };
}
