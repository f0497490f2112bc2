// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'dns-packet';
import fc from 'fast-check';

import { dnsQueryType } from '#src/pods/dns-query-type.ts';

test('dnsQueryType: a closed set of labels', () => {
  const query = (type: 'A' | 'AAAA' | 'TXT') =>
    encode({ type: 'query', id: 1, questions: [{ type, name: 'web.shop', class: 'IN' }] });
  assert.equal(dnsQueryType(query('A')), 'A');
  assert.equal(dnsQueryType(query('AAAA')), 'AAAA');
  assert.equal(dnsQueryType(query('TXT')), 'other');
  assert.equal(dnsQueryType(new Uint8Array()), 'unknown');
  assert.equal(dnsQueryType(query('A').subarray(0, 20)), 'unknown');
});

test('dnsQueryType: never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.ok(['A', 'AAAA', 'other', 'unknown'].includes(dnsQueryType(bytes)));
    }),
  );
});
