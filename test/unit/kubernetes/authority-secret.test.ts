// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#src/kubernetes/api-error.ts';
import { AuthoritySecret } from '#src/kubernetes/authority-secret.ts';
import { json, openApiServerDouble, refusal } from './api-server-double.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const ROOT = { key: 'KEY', certificate: 'CERT' };

test('authority secret: none yet, or the root that is in it', async (t) => {
  const server = await openApiServerDouble(t);
  const secret = new AuthoritySecret(server.client, 'mesh');
  server.script(refusal(404, 'NotFound'), json({ data: { 'root.key': base64('KEY'), 'root.pem': base64('CERT') } }));
  assert.equal(await secret.read(), undefined);
  assert.deepEqual(await secret.read(), ROOT);
  assert.deepEqual(server.asked, Array(2).fill('GET /api/v1/namespaces/mesh/secrets/groundwire-ca'));
});

test('authority secret: fails closed where it cannot be read or holds no root, for nobody may make another then', async (t) => {
  const server = await openApiServerDouble(t);
  const secret = new AuthoritySecret(server.client, 'mesh');
  server.script(json({ data: { 'root.key': base64('KEY') } }), refusal(403, 'Forbidden'));
  await assert.rejects(secret.read(), /does not hold root.key and root.pem: restore it/);
  await assert.rejects(secret.read(), (error) => error instanceof ApiError && error.status === 403);
});

test('authority secret: of two replicas that make it the slower one hears so', async (t) => {
  const server = await openApiServerDouble(t);
  const secret = new AuthoritySecret(server.client, 'mesh');
  server.script(json({}, 201), refusal(409, 'AlreadyExists'), refusal(500, 'InternalError'));
  assert.equal(await secret.create(ROOT), true);
  assert.equal(await secret.create(ROOT), false);
  await assert.rejects(secret.create(ROOT), /InternalError/);
});
