// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AccessError } from '#src/kubernetes/access-error.ts';
import { inClusterAccess, kubeconfigAccess } from '#src/kubernetes/api-access.ts';

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function kubeconfig(cluster: object, user: object, context = 'admin'): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': context,
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443', ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'admin', context: { cluster: 'c', user: 'u' } }],
  });
}

test('api access: in a pod the token is read anew each time, for the kubelet replaces it', async (t) => {
  const directory = folder(t);
  writeFileSync(join(directory, 'token'), 'one\n');
  writeFileSync(join(directory, 'ca.crt'), 'ROOT');
  const access = await inClusterAccess('10.0.0.1:443', directory);
  assert.equal(access.server.href, 'https://10.0.0.1/');
  assert.equal(access.ca, 'ROOT');
  assert.equal(await access.token?.(), 'one');
  writeFileSync(join(directory, 'token'), 'two');
  assert.equal(await access.token?.(), 'two');
});

test('api access: outside of a pod it says what to name, and in one without an account what is missing', async (t) => {
  await assert.rejects(inClusterAccess(undefined), /--kubeconfig/);
  await assert.rejects(inClusterAccess('10.0.0.1:443', join(folder(t), 'none')), /token of the pod cannot be read/);
});

test('api access: a kubeconfig gives roots, and a token or a certificate, inline or beside it', async (t) => {
  const directory = folder(t);
  const path = join(directory, 'config');
  writeFileSync(join(directory, 'ca.pem'), 'ROOT');
  writeFileSync(path, kubeconfig({ 'certificate-authority': 'ca.pem' }, { token: 'secret' }));
  const byToken = await kubeconfigAccess(path);
  assert.deepEqual([byToken.server.host, byToken.ca, await byToken.token?.()], ['10.0.0.1:6443', 'ROOT', 'secret']);
  writeFileSync(path, kubeconfig({}, { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') }));
  const byCertificate = await kubeconfigAccess(path);
  assert.deepEqual([byCertificate.certificate, byCertificate.key, byCertificate.token], ['CERT', 'KEY', undefined]);
});

test('api access: what a kubeconfig says wrong is told with its path', async (t) => {
  const path = join(folder(t), 'config');
  const cases: readonly (readonly [string, RegExp])[] = [
    ['a: [', /is not YAML/],
    ['[]', /is no kubeconfig/],
    [kubeconfig({}, {}, 'other'), /contexts has no other/],
    [kubeconfig({ server: 'nonsense' }, {}), /is not a URL: nonsense/],
    [kubeconfig({ server: 'file:///etc' }, {}), /is not a URL/],
    [kubeconfig({ 'insecure-skip-tls-verify': true }, {}), /insecure-skip-tls-verify is not served/],
    [kubeconfig({}, { exec: { command: 'aws' } }), /logs in by exec, which is not served/],
    [kubeconfig({ 'certificate-authority': 'missing.pem' }, {}), /certificate-authority cannot be read/],
  ];
  for (const [text, reason] of cases) {
    writeFileSync(path, text);
    await assert.rejects(
      kubeconfigAccess(path),
      (error) => error instanceof AccessError && reason.test(error.message),
      String(reason),
    );
  }
});
