// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, test } from 'node:test';

import { closeServer, HttpError, listenOn, makeHttpCounters, makeHttpServer } from '#src/api/http.ts';
import { systemClock as clock } from '#src/model/clock.ts';
import { until } from '../../helpers/until.ts';

const failures: unknown[] = [];
const counters = makeHttpCounters();
const server = await listenOn(
  makeHttpServer(
    [
      { method: 'GET', path: '/things/:name', handle: ({ params }) => ({ status: 200, json: params }) },
      { method: 'POST', path: '/things', handle: async ({ readJson }) => ({ status: 201, json: await readJson() }) },
      {
        method: 'GET',
        path: '/bug',
        handle: () => {
          throw new Error('secret detail');
        },
      },
      {
        method: 'GET',
        path: '/refused',
        handle: () => {
          throw new HttpError(409, 'taken');
        },
      },
    ],
    { guardHost: true, counters, clock, onError: (error) => failures.push(error) },
  ),
  { host: '127.0.0.1', port: 0 },
  'api-listen',
);
after(() => closeServer(server));
const { port } = server.address() as AddressInfo;

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(
  method: string,
  path: string,
  options: { readonly body?: string; readonly headers?: Record<string, string>; readonly to?: number } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port: options.to ?? port, method, path, headers: options.headers ?? {} },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

test('routes: parameters, and a path that is not there names those that are', async () => {
  assert.deepEqual(JSON.parse((await ask('GET', '/things/a')).body), { name: 'a' });
  const missing = await ask('GET', '/nothing');
  assert.equal(missing.status, 404);
  assert.match(missing.body, /\/things\/:name/);
  assert.equal((await ask('GET', '/things/a/b')).status, 404);
});

test('a method that is not served is 405 and names the one that is', async () => {
  const answer = await ask('PUT', '/things', { body: '{}' });
  assert.equal(answer.status, 405);
  assert.match(answer.body, /POST is/);
});

test('a body that is not JSON, or too large, is refused and not read to its end', async () => {
  assert.equal((await ask('POST', '/things', { body: '{"a":' })).status, 400);
  const large = await ask('POST', '/things', { body: JSON.stringify('x'.repeat(65_536)) });
  assert.equal(large.status, 413);
  assert.equal((await ask('POST', '/things', { body: '{"a":1}' })).status, 201);
});

test('a page of another site gets nothing: neither by its name for us nor by its origin', async () => {
  for (const host of ['evil.example', 'evil.example:15000', '127.0.0.1.evil.example', '[::1].evil.example']) {
    assert.equal((await ask('GET', '/things/a', { headers: { host } })).status, 403, host);
  }
  for (const host of ['localhost', 'localhost:1', '127.0.0.1', '[::1]:15000']) {
    assert.equal((await ask('GET', '/things/a', { headers: { host } })).status, 200, host);
  }
  assert.equal((await ask('GET', '/things/a', { headers: { origin: 'http://evil.example' } })).status, 403);
});

test('a server that is to be read only refuses whatever may change something, with what to do instead', async () => {
  const routes = [
    { method: 'GET', path: '/level', handle: () => ({ status: 200, json: 'info' }) },
    { method: 'POST', path: '/level', handle: () => assert.fail('reached') },
  ] as const;
  const options = { guardHost: true, counters: makeHttpCounters(), clock, onError: assert.fail };
  const readOnly = await listenOn(
    makeHttpServer(routes, { ...options, readOnly: 'use the socket' }),
    { host: '127.0.0.1', port: 0 },
    'api-listen',
  );
  const to = (readOnly.address() as AddressInfo).port;
  try {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, body } = await ask(method, '/level', { to });
      assert.deepEqual([status, JSON.parse(body)], [403, { error: 'use the socket' }], method);
    }
    assert.equal((await ask('GET', '/level', { to })).status, 200);
    assert.equal((await ask('HEAD', '/level', { to })).status, 200);
    assert.equal(options.counters.refused, 4);
  } finally {
    await closeServer(readOnly);
  }
});

test('a bug is 500 without its detail, which goes to the log; a refusal keeps its words', async () => {
  const answer = await ask('GET', '/bug');
  assert.equal(answer.status, 500);
  assert.doesNotMatch(answer.body, /secret detail/);
  assert.equal(failures.length, 1);
  assert.deepEqual(await ask('GET', '/refused').then(({ status, body }) => [status, JSON.parse(body)]), [
    409,
    { error: 'taken' },
  ]);
});

test('a caller that hangs up in the midst of its body is refused, and no failure of ours', async () => {
  const { refused } = counters;
  const failed = failures.length;
  const head = 'POST /things HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\n{"a"';
  for (const [index, end] of (['destroy', 'resetAndDestroy'] as const).entries()) {
    const socket = connect(port, '127.0.0.1', () => socket.write(head, () => socket[end]()));
    await until('it is counted', () => counters.refused > refused + index);
    // What comes of the broken body comes after that.
    await ask('GET', '/things/a');
    assert.deepEqual([counters.refused - refused, failures.length - failed], [index + 1, 0], end);
  }
});

test('garbage in place of HTTP ends that connection and nothing else', async () => {
  for (const bytes of [
    '\0\x01\x02\xff\r\n\r\n',
    'GET\r\n\r\n',
    `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
    'GET http://[ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n',
  ]) {
    const said = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
      let text = '';
      socket.setEncoding('latin1').on('data', (part: string) => (text += part));
      socket.on('error', () => {});
      socket.on('close', () => resolve(text));
    });
    assert.match(said, /^HTTP\/1\.1 4\d\d /, JSON.stringify(bytes.slice(0, 20)));
  }
  assert.equal((await ask('GET', '/things/a')).status, 200);
});

test('http: [::] is both families, and IPv4 where the kernel has no IPv6', async (t) => {
  const make = () => makeHttpServer([], { guardHost: false, counters, clock, onError: () => {} });
  const isReachedOver = async (own: Server, host: string): Promise<boolean> => {
    const socket = connect({ host, port: (own.address() as AddressInfo).port });
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    return isOpen;
  };
  const both = await listenOn(make(), { host: '::', port: 0 }, 'ready-listen');
  t.after(() => closeServer(both));
  assert.deepEqual([await isReachedOver(both, '127.0.0.1'), await isReachedOver(both, '::1')], [true, true]);

  const refusing = make();
  const listen = refusing.listen.bind(refusing) as (where: object, done: () => void) => Server;
  refusing.listen = ((where: { host: string }, done: () => void) => {
    if (where.host !== '::') return listen(where, done);
    process.nextTick(() => refusing.emit('error', Object.assign(new Error('listen'), { code: 'EAFNOSUPPORT' })));
    return refusing;
  }) as Server['listen'];
  const one = await listenOn(refusing, { host: '::', port: 0 }, 'ready-listen');
  t.after(() => closeServer(one));
  assert.equal((one.address() as AddressInfo).address, '0.0.0.0');
});
