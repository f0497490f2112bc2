// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createCertificateRequest } from '#src/identity/certificate-request.ts';
import { checkIssued } from '#src/identity/identity-certificate.ts';
import { SigningClient } from '#src/identity/signing-client.ts';
import { SigningServer } from '#src/identity/signing-server.ts';
import { systemClock } from '#src/model/clock.ts';
import { Loopback } from '../discovery/loopback.ts';

const WEB = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };
const DAY_S = 86_400;

async function openSigning(t: TestContext, requestsPerMinute = 100) {
  const loopback = await Loopback.open(t);
  const server = new SigningServer({
    authority: loopback.authority,
    callerOf: (metadata) => loopback.authentication.callerOf(metadata),
    hasPod: (node, identity) => node === 'a' && identity.serviceAccount === 'web',
    lifetimeMs: DAY_S * 1000,
    lifetimeMaxMs: DAY_S * 1000,
    requestsPerMinute,
    clock: systemClock,
    log: loopback.recorded.log,
  });
  await loopback.serve(server);
  const clientFor = (node: string, token?: string): SigningClient => {
    const client = new SigningClient(loopback.controlPlane(node, token), systemClock);
    t.after(() => client.close());
    return client;
  };
  return { loopback, server, clientFor };
}

test('signing: a node gets certificates for identities of its own pods, no longer than the mesh allows', async (t) => {
  const { loopback, server, clientFor } = await openSigning(t);
  const { csrPem, privateKeyPem } = createCertificateRequest(WEB);
  const { notAfterMs } = checkIssued(
    WEB,
    privateKeyPem,
    await clientFor('a').sign(WEB, csrPem, 90 * DAY_S),
    Date.now(),
  );
  assert.ok(Math.abs(notAfterMs - Date.now() - DAY_S * 1000) < 60_000);
  const short = checkIssued(WEB, privateKeyPem, await clientFor('a').sign(WEB, csrPem, 30), Date.now());
  assert.ok(short.notAfterMs <= Date.now() + 31_000);
  assert.equal(server.counters.signed, 2);
  const line = loopback.recorded.lines.find(({ message }) => message === 'certificate signed');
  assert.deepEqual(line?.fields, { node: 'a', identity: 'spiffe://cluster.local/ns/shop/sa/web' });
});

test('signing: fails closed: every request that must not be signed is refused with the reason', async (t) => {
  const { server, clientFor } = await openSigning(t);
  const { csrPem } = createCertificateRequest(WEB);
  const tampered = tamper(csrPem);
  const table: [string, () => Promise<unknown>, RegExp][] = [
    [
      'another node',
      () => clientFor('b').sign(WEB, csrPem, 60),
      /PERMISSION_DENIED: no pod on node b has the identity/,
    ],
    [
      'no such pod',
      () => clientFor('a').sign({ ...WEB, serviceAccount: 'db' }, csrPem, 60),
      /PERMISSION_DENIED: no pod on node a/,
    ],
    [
      'trust domain',
      () => clientFor('a').sign({ ...WEB, trustDomain: 'evil.example' }, csrPem, 60),
      /trust domain evil\.example is not/,
    ],
    ['no CSR', () => clientFor('a').sign(WEB, 'hello', 60), /INVALID_ARGUMENT: not a certificate request/],
    [
      'signature',
      () => clientFor('a').sign(WEB, tampered, 60),
      /INVALID_ARGUMENT: (the signature|not a certificate request)/,
    ],
    ['huge', () => clientFor('a').sign(WEB, 'x'.repeat(20_000), 60), /larger than/],
    ['no identity', () => clientFor('a').sign({ ...WEB, namespace: 'a b' }, csrPem, 60), /not a SPIFFE ID/],
  ];
  for (const [what, call, reason] of table) await assert.rejects(call(), reason, what);
  assert.deepEqual([server.counters.signed, server.counters.refused], [0, table.length]);
  await assert.rejects(clientFor('a', 'x.y.z').sign(WEB, csrPem, 60), /UNAUTHENTICATED: the token was not made/);
});

// One byte of the signature, which is what the request ends with.
function tamper(csrPem: string): string {
  const [, body = ''] = /-----\n([\s\S]+)\n-----/.exec(csrPem) ?? [];
  const bytes = Buffer.from(body, 'base64');
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
}

test('signing: one node cannot ask without bound', async (t) => {
  const { server, clientFor } = await openSigning(t, 2);
  const { csrPem } = createCertificateRequest(WEB);
  const client = clientFor('a');
  await client.sign(WEB, csrPem, 60);
  await client.sign(WEB, csrPem, 60);
  await assert.rejects(client.sign(WEB, csrPem, 60), /RESOURCE_EXHAUSTED: node a asked more than 2 times/);
  assert.equal(server.counters.rateLimited, 1);
});
