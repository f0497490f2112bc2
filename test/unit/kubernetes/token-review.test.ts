// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { TokenReview } from '#src/kubernetes/token-review.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { type ApiServerDouble, json, openApiServerDouble, refusal } from './api-server-double.ts';

const NODE = 'authentication.kubernetes.io/node-name';
const ACCOUNT = 'system:serviceaccount:groundwire-system:groundwire-agent';

async function open(t: TestContext): Promise<{ server: ApiServerDouble; clock: ManualClock; reviews: TokenReview }> {
  const server = await openApiServerDouble(t);
  const clock = new ManualClock();
  const accounts = ['groundwire-system/groundwire-agent'];
  return {
    server,
    clock,
    reviews: new TokenReview({ client: server.client, audiences: ['groundwire'], accounts, clock }),
  };
}

const status = (more: object = {}): object => ({
  status: {
    authenticated: true,
    audiences: ['groundwire'],
    user: { username: ACCOUNT, extra: { [NODE]: ['n1'] } },
    ...more,
  },
});

function tokenUntil(ms: number): string {
  return `h.${Buffer.from(JSON.stringify({ exp: ms / 1000 })).toString('base64url')}.s`;
}

test("token review: the node is the token's own claim", async (t) => {
  const { server, clock, reviews } = await open(t);
  server.script(json(status(), 201));
  const untilMs = clock.nowMs() + 600_000;
  assert.deepEqual(await reviews.verify(tokenUntil(untilMs)), {
    kind: 'accepted',
    holder: { account: 'groundwire-system/groundwire-agent', node: 'n1', untilMs },
  });
  assert.deepEqual(server.asked, ['POST /apis/authentication.k8s.io/v1/tokenreviews']);
});

test('token review: fails closed for whoever is not vouched for', async (t) => {
  const cases: readonly (readonly [string, object, RegExp])[] = [
    ['unknown', { authenticated: false }, /does not know the token/],
    ['expired', { authenticated: false, error: 'token has expired' }, /token has expired/],
    ['of another audience', { audiences: ['istio-ca'] }, /not for groundwire/],
    ['no audience at all', { audiences: undefined }, /not for groundwire/],
    [
      'of another account',
      { user: { username: 'system:serviceaccount:shop:groundwire-agent', extra: { [NODE]: ['n1'] } } },
      /is no agent/,
    ],
    [
      'of a person',
      { user: { username: 'groundwire-system/groundwire-agent', extra: { [NODE]: ['n1'] } } },
      /is no agent/,
    ],
    ['of no node', { user: { username: ACCOUNT, extra: {} } }, /names no node/],
    ['of a node without a name', { user: { username: ACCOUNT, extra: { [NODE]: [''] } } }, /names no node/],
  ];
  for (const [name, more, reason] of cases) {
    const { server, reviews } = await open(t);
    server.script(json(status(more), 201));
    const review = await reviews.verify(tokenUntil(0));
    assert.equal(review.kind, 'rejected', name);
    assert.match(review.kind === 'rejected' ? review.reason : '', reason, name);
  }
});

test('token review: fails closed while the API server cannot be asked', async (t) => {
  const { server, reviews } = await open(t);
  server.script(refusal(503, 'ServiceUnavailable'));
  const review = await reviews.verify('t');
  assert.match(review.kind === 'rejected' ? review.reason : '', /could not be asked/);
  assert.equal(reviews.counters.failures, 1);
});

test('token review: a yes is kept for a minute, at the most until the token ends; a no is not', async (t) => {
  const { server, clock, reviews } = await open(t);
  server.script(json(status(), 201));
  const long = tokenUntil(clock.nowMs() + 3_600_000);
  await reviews.verify(long);
  clock.advance(59_000);
  await reviews.verify(long);
  assert.equal(server.asked.length, 1);
  clock.advance(1_000);
  await reviews.verify(long);
  assert.equal(server.asked.length, 2);

  const short = tokenUntil(clock.nowMs() + 5_000);
  await reviews.verify(short);
  clock.advance(5_000);
  server.script(json(status({ authenticated: false }), 201));
  assert.equal((await reviews.verify(short)).kind, 'rejected');
  assert.equal((await reviews.verify(short)).kind, 'rejected');
  assert.equal(server.asked.length, 5);
});
