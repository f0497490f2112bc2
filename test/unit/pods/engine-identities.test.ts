// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeEngine } from '#src/engine/fake-engine.ts';
import type { IdentityCertificate } from '#src/identity/identity-certificate.ts';
import { EngineIdentities } from '#src/pods/engine-identities.ts';

const IDENTITY = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };
const CERTIFICATE: IdentityCertificate = {
  identity: IDENTITY,
  chain: ['leaf'],
  rootsPem: 'root',
  privateKeyPem: 'key',
  serialNumber: '1',
  notBeforeMs: 0,
  notAfterMs: 1e15,
};
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn();
}

test('an identity removed while its certificate is on its way is not taken for loaded', async () => {
  const identities = new EngineIdentities(new FakeEngine(), SILENT);
  identities.set(CERTIFICATE);
  identities.remove(IDENTITY);
  await settle();
  let loaded = false;
  const abort = new AbortController();
  const waiting = identities.loaded(IDENTITY, abort.signal).then(() => {
    loaded = true;
  });
  await settle();
  assert.equal(loaded, false);
  identities.set(CERTIFICATE);
  await waiting;
  assert.equal(identities.awaited, 0);
});

test('a wait that is given up leaves nothing behind', async () => {
  const identities = new EngineIdentities(new FakeEngine(), SILENT);
  const abort = new AbortController();
  const waiting = assert.rejects(identities.loaded(IDENTITY, abort.signal), /no more/);
  assert.equal(identities.awaited, 1);
  abort.abort(new Error('no more'));
  await waiting;
  assert.equal(identities.awaited, 0);
});
