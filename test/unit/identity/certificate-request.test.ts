// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { createCertificateRequest } from '#src/identity/certificate-request.ts';
import * as x509 from '#src/identity/x509.ts';
import type { SpiffeId } from '#src/model/identity.ts';

// Lengths of one, two and three bytes in the request.
const SERVICE_ACCOUNTS = ['w', 'web', 'w'.repeat(60), 'w'.repeat(90), 'w'.repeat(253)];

function idOf(serviceAccount: string): SpiffeId {
  return { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount };
}

for (const serviceAccount of SERVICE_ACCOUNTS) {
  test(`certificate request: what another library reads in it is what was meant (${serviceAccount.length})`, async () => {
    const { csrPem, privateKeyPem } = createCertificateRequest(idOf(serviceAccount));
    const request = new x509.Pkcs10CertificateRequest(csrPem);
    assert.equal(await request.verify(), true);
    assert.equal(request.subject, '');
    assert.equal(request.attributes.length, 1);
    assert.equal(request.extensions.length, 1);
    const names = new x509.SubjectAlternativeNameExtension(request.extensions[0]?.rawData ?? '');
    assert.equal(names.critical, true);
    assert.deepEqual(names.names.toJSON(), [
      { type: 'url', value: `spiffe://cluster.local/ns/shop/sa/${serviceAccount}` },
    ]);
    const publicKey = createPublicKey(createPrivateKey(privateKeyPem)).export({ format: 'der', type: 'spki' });
    assert.deepEqual(Buffer.from(request.publicKey.rawData), publicKey);
  });
}

test('certificate request: OpenSSL holds it for well formed and signed', () => {
  const { csrPem } = createCertificateRequest(idOf('web'));
  const { stdout, stderr } = spawnSync('openssl', ['req', '-verify', '-noout', '-text'], {
    input: csrPem,
    encoding: 'utf8',
  });
  assert.match(stdout + stderr, /verify OK/);
  assert.match(
    stdout,
    /X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web\n/,
  );
});

test('certificate request: each has a key of its own', () => {
  const [one, two] = [createCertificateRequest(idOf('web')), createCertificateRequest(idOf('web'))];
  assert.notEqual(one.privateKeyPem, two.privateKeyPem);
});
