// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type ApiObject, makeWatchCounters, Reflector, type ReflectorOptions } from '#src/kubernetes/reflector.ts';
import type { Log } from '#src/model/log.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { until } from '../../helpers/until.ts';
import { type ApiServerDouble, event, list, openApiServerDouble, pod, refusal, watch } from './api-server-double.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

interface Followed {
  readonly server: ApiServerDouble;
  readonly clock: ManualClock;
  readonly reflector: Reflector;
  /** What is known by now: name → version. */
  readonly known: Map<string, string>;
  readonly said: string[];
}

async function follow(t: TestContext, options: Partial<ReflectorOptions> = {}): Promise<Followed> {
  const server = await openApiServerDouble(t);
  const clock = new ManualClock();
  const known = new Map<string, string>();
  const said: string[] = [];
  const put = ({ metadata: { name, resourceVersion } }: ApiObject): void => void known.set(name, resourceVersion);
  const reflector = new Reflector({
    client: server.client,
    path: '/api/v1/pods',
    onList: (objects) => {
      said.push('list');
      known.clear();
      for (const object of objects) put(object);
    },
    onChange: (object) => {
      said.push('change');
      put(object);
    },
    onDelete: ({ metadata }) => {
      said.push('delete');
      known.delete(metadata.name);
    },
    counters: makeWatchCounters(),
    clock,
    log: SILENT,
    random: () => 0.5,
    ...options,
  });
  t.after(() => reflector.close());
  return { server, clock, reflector, known, said };
}

const query = (asked: string | undefined): URLSearchParams =>
  new URL(asked?.split(' ')[1] ?? '', 'http://x').searchParams;

test('reflector: a list comes in pages and is told whole, then changes and deletions', async (t) => {
  const { server, reflector, known, said } = await follow(t, { selector: 'fieldSelector=spec.nodeName%3Dn1' });
  server.script(
    list('7', [pod('a', '1')], 'more'),
    list('7', [pod('b', '2')]),
    watch(
      [
        event('ADDED', pod('c', '8')),
        event('MODIFIED', pod('a', '9')),
        event('DELETED', pod('b', '10')),
        event('BOOKMARK', { metadata: { resourceVersion: '12' } }),
      ],
      'stay',
    ),
  );
  await reflector.open();
  await until('it came', () => reflector.counters.events === 4);
  assert.deepEqual(Object.fromEntries(known), { a: '9', c: '8' });
  assert.deepEqual(said, ['list', 'change', 'change', 'delete']);
  assert.equal(query(server.asked[1]).get('continue'), 'more');
  assert.equal(query(server.asked[2]).get('resourceVersion'), '7');
  for (const asked of server.asked) assert.equal(query(asked).get('fieldSelector'), 'spec.nodeName=n1');
});

test('reflector: a watch that ended, or broke in the middle of an event, goes on from the last version, bookmarks included', async (t) => {
  for (const after of ['end', 'break'] as const) {
    const { server, clock, reflector, said } = await follow(t);
    server.script(
      list('7', []),
      watch([event('ADDED', pod('a', '8')), event('BOOKMARK', { metadata: { resourceVersion: '11' } })], after),
      watch([], 'stay'),
    );
    await reflector.open();
    await until('it came', () => reflector.counters.events === 2);
    await until('it went on', () => {
      clock.advance(1000);
      return server.asked.length === 3;
    });
    assert.equal(query(server.asked[2]).get('resourceVersion'), '11');
    assert.deepEqual(said, ['list', 'change']);
  }
});

test('reflector: 410 Gone, as status or as event, means a new list, and what is in neither is gone', async (t) => {
  for (const gone of [
    refusal(410, 'Expired'),
    watch([event('ERROR', { message: 'too old resource version', code: 410, reason: 'Expired' })], 'end'),
  ]) {
    const { server, clock, reflector, known } = await follow(t);
    server.script(list('7', [pod('a', '1')]), gone, list('20', [pod('b', '19')]), watch([], 'stay'));
    await reflector.open();
    await until('it went on', () => {
      clock.advance(1000);
      return known.has('b');
    });
    assert.deepEqual([...known.keys()], ['b']);
    assert.equal(reflector.counters.expired, 1);
  }
});

test('reflector: 429 waits as long as the server asks, and what was seen last stays', async (t) => {
  const { server, clock, reflector, known } = await follow(t);
  server.script(
    list('7', [pod('a', '1')]),
    refusal(429, 'TooManyRequests', { 'retry-after': '20' }),
    watch([event('ADDED', pod('b', '8'))], 'stay'),
  );
  await reflector.open();
  await until('it came', () => reflector.counters.failures === 1);
  clock.advance(19_000);
  assert.deepEqual([...known.keys()], ['a']);
  assert.equal(server.asked.length, 2);
  assert.match(reflector.status.lastError, /TooManyRequests/);
  clock.advance(1_000);
  await until('it came', () => known.has('b'));
});

test('reflector: a server that ends each watch at once is asked at growing intervals', async (t) => {
  const { server, clock, reflector } = await follow(t);
  server.script(list('7', []), watch([], 'end'));
  await reflector.open();
  await until('it came', () => reflector.counters.watches === 1);
  for (let i = 0; i < 40; i++) {
    clock.advance(500);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
  }
  // 20 s: after 0.5, 1.5, 3.5, 7.5 and 15.5 s at the most.
  assert.ok(reflector.counters.watches <= 6, String(reflector.counters.watches));
});

test('reflector: a resource that the server does not know is empty, and looked for again, only where it may be missing', async (t) => {
  const { server, clock, reflector, known } = await follow(t, { optional: true });
  server.script(refusal(404, 'NotFound'), list('3', [pod('a', '1')]), watch([], 'stay'));
  await reflector.open();
  assert.equal(reflector.status.state, 'absent');
  assert.equal(known.size, 0);
  await until('it looked again', () => {
    clock.advance(10_000);
    return known.has('a');
  });

  const needed = await follow(t);
  needed.server.script(refusal(404, 'NotFound'));
  let synced = false;
  void needed.reflector.open().then(() => (synced = true));
  await until('it came', () => needed.reflector.counters.failures === 1);
  assert.equal(synced, false);
});

test('reflector: what is no list, and an event without an object, are failures and nothing is lost', async (t) => {
  const { server, clock, reflector, known } = await follow(t);
  server.script(
    (response) => response.end('<html>'),
    list('7', [pod('a', '1')]),
    watch([event('ADDED', {})], 'stay'),
    watch([event('ADDED', pod('b', '9'))], 'stay'),
  );
  const opened = reflector.open();
  await until('it went on', () => {
    clock.advance(1000);
    return known.has('b');
  });
  await opened;
  assert.equal(reflector.counters.failures, 2);
  assert.deepEqual([...known.keys()], ['a', 'b']);
});

test('reflector: closed, it tells nothing more', async (t) => {
  const { server, reflector, said } = await follow(t);
  let tell = (): void => {};
  server.script(list('7', []), (response) => {
    response.writeHead(200);
    tell = () => response.write(event('ADDED', pod('a', '8')));
    response.flushHeaders();
  });
  await reflector.open();
  await until('it came', () => server.asked.length === 2);
  reflector.close();
  tell();
  await new Promise(setImmediate);
  assert.deepEqual(said, ['list']);
  assert.equal(reflector.status.state, 'closed');
});
