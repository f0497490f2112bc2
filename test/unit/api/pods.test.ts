// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { closeServer, listenOn, makeHttpCounters, makeHttpServer } from '#src/api/http.ts';
import { type PodKeeper, podRoutes } from '#src/api/pods.ts';
import { refusedAgentRoutes } from '#src/api/refused-agents.ts';
import { systemClock } from '#src/model/clock.ts';
import type { PodView } from '#src/pods/pod.ts';

/** The agent's socket over one pod, `known`; with what was removed, and the agents that said they were refused. */
async function serve(t: TestContext, goneAtOnce = true) {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-api-'));
  const path = join(directory, 'agent.sock');
  const removed: string[] = [];
  const terminated: string[] = [];
  const refused: number[] = [];
  const pods: PodKeeper = {
    create: () => Promise.reject(new Error('not asked for')),
    end: async (uid) => {
      removed.push(uid);
      return goneAtOnce;
    },
    find: (uid) => (uid === 'known' ? ({} as PodView) : undefined),
    terminate: (uid) => terminated.push(uid),
    checkHolder: async () => {},
  };
  const fail = (error: unknown): never => assert.fail(String(error));
  const routes = [...podRoutes(pods, fail), ...refusedAgentRoutes((pid) => refused.push(pid))];
  const counters = makeHttpCounters();
  const server = await listenOn(
    makeHttpServer(routes, { guardHost: false, counters, clock: systemClock, onError: fail }),
    { path },
    'run-dir',
  );
  t.after(async () => {
    await closeServer(server);
    rmSync(directory, { recursive: true, force: true });
  });
  const ask = async (method: string, target: string, body?: unknown) => {
    const sent = request({ socketPath: path, method, path: target, headers: { host: 'localhost' } });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = await once(sent, 'response');
    return { status: response.statusCode as number, said: await text(response) };
  };
  return { ask, removed, terminated, refused, counters };
}

test('a pod whose program is told to end is said so; one that is not there: 404', async (t) => {
  const { ask, terminated } = await serve(t);
  assert.equal((await ask('POST', '/v1/pods/known/terminate')).status, 200);
  assert.equal((await ask('POST', '/v1/pods/unknown/terminate')).status, 404);
  assert.deepEqual(terminated, ['known']);
});

test('a pod is ended once; one that is not there is told: 404', async (t) => {
  const { ask, removed, counters } = await serve(t);
  assert.equal((await ask('DELETE', '/v1/pods/known')).status, 200);
  for (const [method, target] of [
    ['DELETE', '/v1/pods/unknown'],
    ['GET', '/v1/pods/unknown/hold'],
  ] as const) {
    const { status, said } = await ask(method, target);
    assert.equal(status, 404);
    assert.match(said, /there is no pod unknown/);
  }
  assert.deepEqual(removed, ['known']);
  assert.equal(counters.refused, 2);
});

test('whoever ends a pod is told when it is not gone yet', async (t) => {
  const { ask } = await serve(t, false);
  assert.equal((await ask('DELETE', '/v1/pods/known')).status, 202);
});

test('an agent that was refused the node is heard of; what is no process id is not', async (t) => {
  const { ask, refused } = await serve(t);
  assert.equal((await ask('POST', '/v1/refused-agents', { pid: 4711 })).status, 200);
  for (const body of [{}, { pid: '4711' }, { pid: 1.5 }, null])
    assert.equal((await ask('POST', '/v1/refused-agents', body)).status, 400);
  assert.deepEqual(refused, [4711]);
});
