// SPDX-License-Identifier: Apache-2.0

import { KeyObject, webcrypto } from 'node:crypto';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import * as x509 from './x509.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface CertificateRequest {
  readonly csrPem: string;
  /** PKCS#8; made for this request, kept in memory only. */
  readonly privateKeyPem: string;
}

/** A new key and a request for it: empty subject, one URI name. Form: ztunnel src/tls/csr.rs. */
export async function createCertificateRequest(identity: SpiffeId): Promise<CertificateRequest> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: '',
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: formatSpiffeId(identity) }], true)],
  });
  const privateKeyPem = KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }).toString();
  return { csrPem: `${request.toString('pem')}\n`, privateKeyPem };
}
