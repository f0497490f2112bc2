// SPDX-License-Identifier: Apache-2.0

import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';

/** A private key in the form in which certificates are signed with it. */
export interface SigningKey {
  readonly privateKey: webcrypto.CryptoKey;
  readonly publicKey: webcrypto.CryptoKey;
  readonly algorithm: { readonly name: string; readonly hash: string };
}

const CURVES: Readonly<Record<string, { curve: string; hash: string }>> = {
  prime256v1: { curve: 'P-256', hash: 'SHA-256' },
  secp384r1: { curve: 'P-384', hash: 'SHA-384' },
};

/** Reads a PEM private key (PKCS#8, SEC 1 or PKCS#1); throws with the reason when it is none that can sign. */
export async function importSigningKey(pem: string): Promise<SigningKey> {
  const key = createPrivateKey(pem);
  const parameters = importParameters(key.asymmetricKeyType, key.asymmetricKeyDetails?.namedCurve);
  const pkcs8 = key.export({ format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, parameters.key, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', spki, parameters.key, true, ['verify']),
    algorithm: { name: parameters.key.name, hash: parameters.hash },
  };
}

function importParameters(type: string | undefined, namedCurve: string | undefined) {
  if (type === 'rsa') return { key: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, hash: 'SHA-256' };
  const curve = type === 'ec' ? CURVES[namedCurve ?? ''] : undefined;
  if (curve === undefined) {
    throw new Error(`a key of type ${namedCurve ?? type ?? 'unknown'} cannot sign here; use EC P-256, EC P-384 or RSA`);
  }
  return { key: { name: 'ECDSA', namedCurve: curve.curve }, hash: curve.hash };
}
