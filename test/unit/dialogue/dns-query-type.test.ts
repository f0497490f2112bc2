// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'dns-packet';
import fc from 'fast-check';

import { readDnsQueryType } from '#src/dialogue/dns-query-type.ts';

const query = (name: string, type: 'A' | 'AAAA' | 'TXT' = 'A') =>
  encode({ type: 'query', id: 7, flags: 256, questions: [{ type, name, class: 'IN' }], additionals: [] });

test('readDnsQueryType: one of a closed set, or that there is no question', () => {
  assert.equal(readDnsQueryType(query('Web.Shop')), 'a');
  assert.equal(readDnsQueryType(query('a', 'AAAA')), 'aaaa');
  assert.equal(readDnsQueryType(query('a', 'TXT')), 'other');
  for (const bytes of [
    new Uint8Array(),
    query('web.shop').subarray(0, 20),
    query('web.shop').subarray(0, -1),
    Buffer.concat([Buffer.alloc(12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]),
  ]) {
    assert.equal(readDnsQueryType(bytes), undefined);
  }
});

test('readDnsQueryType: never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.ok([undefined, 'a', 'aaaa', 'other'].includes(readDnsQueryType(bytes)));
    }),
  );
});
