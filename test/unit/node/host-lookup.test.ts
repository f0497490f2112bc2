// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type Answer, decode, encode } from 'dns-packet';
import { hostLookup } from '#src/node/host-lookup.ts';

const REFUSED = 5;
const NXDOMAIN = 3;

/** A resolver on the loopback that knows a few names; returns its address. */
async function openResolver(t: TestContext): Promise<string> {
  const records: Readonly<Record<string, readonly Answer[]>> = {
    'both.example': [
      { type: 'A', name: 'both.example', ttl: 60, data: '192.0.2.1' },
      { type: 'AAAA', name: 'both.example', ttl: 9, data: '2001:db8:0::1' },
    ],
    'alias.example': [
      { type: 'CNAME', name: 'alias.example', ttl: 60, data: 'both.example' },
      { type: 'A', name: 'both.example', ttl: 60, data: '192.0.2.1' },
    ],
    'empty.example': [],
  };
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const { id = 0, questions = [] } = decode(message);
    const [question] = questions;
    const known = records[question?.name ?? ''];
    const answers = known?.filter(({ type }) => type === question?.type || type === 'CNAME') ?? [];
    const code = question?.name === 'refused.example' ? REFUSED : known === undefined ? NXDOMAIN : 0;
    socket.send(encode({ id, type: 'response', flags: 0x0180 | code, questions, answers }), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

test('hostLookup: addresses of both families, with the least of their TTLs, through a CNAME too', async (t) => {
  const lookUp = hostLookup([await openResolver(t)]);
  const both = { kind: 'found', addresses: ['192.0.2.1', '2001:db8::1'], ttlSeconds: 9 };
  assert.deepEqual(await lookUp('both.example'), both);
  assert.deepEqual(await lookUp('alias.example'), { kind: 'found', addresses: ['192.0.2.1'], ttlSeconds: 60 });
});

test('hostLookup: a name without addresses, one that does not exist and one that nobody will say are told apart', async (t) => {
  const lookUp = hostLookup([await openResolver(t)]);
  assert.deepEqual(await lookUp('empty.example'), { kind: 'none', exists: true });
  assert.deepEqual(await lookUp('missing.example'), { kind: 'none', exists: false });
  const refused = await lookUp('refused.example');
  assert.ok(refused.kind === 'failed' && /EREFUSED/.test(refused.reason), JSON.stringify(refused));
});

test('hostLookup: without a resolver it fails and says what to do', async () => {
  const answer = await hostLookup([])('both.example');
  assert.ok(answer.kind === 'failed' && /--resolvers/.test(answer.reason));
});
