// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ApiClient } from '#src/kubernetes/api-client.ts';
import { ApiError } from '#src/kubernetes/api-error.ts';
import { RedirectionAnnotation } from '#src/kubernetes/redirection-annotation.ts';
import type { Log } from '#src/model/log.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
const POD = { namespace: 'shop', name: 'web' };

function open(t: TestContext, answers: (ApiError | undefined)[]) {
  const sent: unknown[] = [];
  const client: Pick<ApiClient, 'send'> = {
    send: (_method, _path, body) => {
      sent.push((body as { metadata: { annotations: object } }).metadata.annotations);
      const answer = answers.shift();
      return answer === undefined ? Promise.resolve({}) : Promise.reject(answer);
    },
  };
  const clock = new ManualClock();
  const annotation = new RedirectionAnnotation(client, clock, SILENT);
  t.after(() => annotation.close());
  const settle = (): Promise<void> => new Promise(setImmediate);
  return { annotation, clock, sent, settle };
}

const KEY = 'ambient.istio.io/redirection';

test('redirection annotation: says that a pod is captured, and takes it back', async (t) => {
  const { annotation, sent, settle } = open(t, []);
  annotation.say('u', POD, true);
  await settle();
  annotation.say('u', POD, false);
  await settle();
  assert.deepEqual(sent, [{ [KEY]: 'enabled' }, { [KEY]: null }]);
});

test('redirection annotation: what was not taken is tried again, the last word alone', async (t) => {
  const down = new ApiError('down', 503);
  const { annotation, clock, sent, settle } = open(t, [down, down]);
  annotation.say('u', POD, true);
  await settle();
  annotation.say('u', POD, false);
  await settle();
  for (let i = 0; i < 3; i++) {
    clock.advance(1000);
    await settle();
  }
  assert.deepEqual(sent, [{ [KEY]: 'enabled' }, { [KEY]: null }, { [KEY]: null }]);
  assert.equal(clock.timers, 0);
});

test('redirection annotation: of a pod that is gone, or is another one by now, nothing more is said', async (t) => {
  for (const status of [404, 409]) {
    const { annotation, clock, sent, settle } = open(t, [new ApiError('no', status)]);
    annotation.say('u', POD, true);
    await settle();
    clock.advance(60_000);
    await settle();
    assert.equal(sent.length, 1);
  }
});
