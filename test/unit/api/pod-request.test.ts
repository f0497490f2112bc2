// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { HttpError } from '#src/api/http.ts';
import { parsePodRequest } from '#src/api/pod-request.ts';

const GOOD = { namespace: 'shop', name: 'web-1.a', serviceAccount: 'web', holderPid: 42 };

test('parsePodRequest: what may be left out is empty', () => {
  assert.deepEqual(parsePodRequest(GOOD), {
    spec: { namespace: 'shop', name: 'web-1.a', serviceAccount: 'web', labels: {}, annotations: {}, ports: {} },
    holderPid: 42,
  });
});

test('parsePodRequest: a subdomain is the name of a Service', () => {
  assert.equal(parsePodRequest({ ...GOOD, subdomain: 'web' }).spec.subdomain, 'web');
  assert.throws(() => parsePodRequest({ ...GOOD, subdomain: 'a.b' }), /field subdomain/);
});

test('parsePodRequest: each bad field is named', () => {
  const cases: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ ...GOOD, name: '../../etc' }, /field name/],
    [{ ...GOOD, name: 'a/b' }, /field name/],
    [{ ...GOOD, name: '' }, /field name/],
    [{ ...GOOD, namespace: 'a.b' }, /field namespace/],
    [{ ...GOOD, serviceAccount: 7 }, /field serviceAccount/],
    [{ ...GOOD, holderPid: 0 }, /field holderPid/],
    [{ ...GOOD, holderPid: '1' }, /field holderPid/],
    [{ ...GOOD, namespace: 'x'.repeat(64) }, /field namespace is too long: 64 characters, and 63 are allowed/],
    [{ ...GOOD, name: 'web..1' }, /field name is not a name: a "\." stands between two parts/],
    [{ ...GOOD, labels: { a: 1 } }, /field labels\.a/],
    [{ ...GOOD, labels: { app: 'a b' } }, /field labels\.app is not made of letters/],
    [{ ...GOOD, labels: { 'a b': '' } }, /field labels has the key "a b": the name "a b" is not made of letters/],
    [{ ...GOOD, annotations: { '/a': '' } }, /field annotations has the key "\/a": the prefix "" is empty/],
    [{ ...GOOD, labels: [] }, /field labels/],
    [{ ...GOOD, ports: { http: 70_000 } }, /field ports\.http/],
    [
      { ...GOOD, annotations: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, ''])) },
      /more than 256 entries/,
    ],
    [{ ...GOOD, netnsPath: '/proc/1/ns/net' }, /"netnsPath" is not known/],
  ];
  for (const [body, reason] of cases) assert.throws(() => parsePodRequest(body), reason);
});

test('parsePodRequest: whatever JSON comes, it is taken whole or refused with 400', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (body) => {
      try {
        parsePodRequest(body);
      } catch (error) {
        assert.ok(error instanceof HttpError && error.status === 400);
      }
    }),
  );
});
