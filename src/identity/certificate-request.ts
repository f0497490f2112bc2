// SPDX-License-Identifier: Apache-2.0

// Written out here rather than with @peculiar/x509, which the authority reads requests with: an agent asks three times an
// hour, and would hold that library and what it stands on in memory all day.

import { generateKeyPairSync, sign } from 'node:crypto';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';

export interface CertificateRequest {
  readonly csrPem: string;
  /** PKCS#8; made for this request, kept in memory only. */
  readonly privateKeyPem: string;
}

// Types of DER (X.690 §8), and the names that a request uses.
const SEQUENCE = 0x30;
const SET = 0x31;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const URI_NAME = 0x86; // uniformResourceIdentifier of GeneralName (RFC 5280 §4.2.1.6)
const ATTRIBUTES = 0xa0; // [0] of CertificationRequestInfo (RFC 2986 §4.1)
const VERSION_1 = Buffer.from('020100', 'hex');
const TRUE = Buffer.from('0101ff', 'hex');
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');
const EXTENSION_REQUEST = Buffer.from('06092a864886f70d01090e', 'hex');
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');

/** A new key and a request for it: empty subject, one URI name. Form: RFC 2986; ztunnel src/tls/csr.rs. */
export function createCertificateRequest(identity: SpiffeId): CertificateRequest {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = der(SEQUENCE, der(URI_NAME, Buffer.from(formatSpiffeId(identity), 'ascii')));
  // The subject is empty, so the name must be critical (RFC 5280 §4.2.1.6).
  const extensions = der(SEQUENCE, der(SEQUENCE, SUBJECT_ALT_NAME, TRUE, der(OCTET_STRING, names)));
  const info = der(
    SEQUENCE,
    VERSION_1,
    der(SEQUENCE),
    publicKey.export({ format: 'der', type: 'spki' }),
    der(ATTRIBUTES, der(SEQUENCE, EXTENSION_REQUEST, der(SET, extensions))),
  );
  const signature = sign('sha256', info, privateKey);
  const request = der(SEQUENCE, info, der(SEQUENCE, ECDSA_WITH_SHA256), der(BIT_STRING, Buffer.of(0), signature));
  return {
    csrPem: pem('CERTIFICATE REQUEST', request),
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

/** One value of DER: type, length, and `parts` one after another. */
function der(type: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  // Below 128 the length is one byte; from there on, how many bytes it takes and then those.
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  const head = length < 0x80 ? Buffer.of(type, length) : Buffer.of(type, 0x80 | bytes.length, ...bytes);
  return Buffer.concat([head, content]);
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
