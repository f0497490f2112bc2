// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from 'dns-packet';
import fc from 'fast-check';

import { denyDnsName, readDnsQuestion } from '#src/pods/dns-question.ts';

const query = (name: string, type: 'A' | 'AAAA' | 'TXT' = 'A') =>
  encode({ type: 'query', id: 7, flags: 256, questions: [{ type, name, class: 'IN' }], additionals: [] });

test('readDnsQuestion: name in lower case, type of a closed set', () => {
  assert.deepEqual(readDnsQuestion(query('Web.Shop'))?.name, 'web.shop');
  assert.equal(readDnsQuestion(query('a', 'AAAA'))?.type, 'aaaa');
  assert.equal(readDnsQuestion(query('a', 'TXT'))?.type, 'other');
  for (const bytes of [
    new Uint8Array(),
    query('web.shop').subarray(0, 20),
    Buffer.concat([Buffer.alloc(12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]),
  ]) {
    assert.equal(readDnsQuestion(bytes), undefined);
  }
});

test('denyDnsName: a resolver takes it for "does not exist", whatever else the query carried', () => {
  const message = encode({
    type: 'query',
    id: 7,
    flags: 256,
    questions: [{ type: 'A', name: 'no.shop', class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  });
  const question = readDnsQuestion(message);
  assert.ok(question);
  const answer = decode(Buffer.from(denyDnsName(message, question))) as ReturnType<typeof decode> & { rcode: string };
  assert.equal(answer.id, 7);
  assert.equal(answer.type, 'response');
  assert.equal(answer.rcode, 'NXDOMAIN');
  assert.deepEqual(
    answer.questions?.map(({ name }) => name),
    ['no.shop'],
  );
  assert.deepEqual([answer.answers, answer.additionals], [[], []]);
});

test('readDnsQuestion: never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const question = readDnsQuestion(bytes);
      if (question !== undefined) assert.equal(denyDnsName(bytes, question).length, question.end);
    }),
  );
});
