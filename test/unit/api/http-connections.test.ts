// SPDX-License-Identifier: Apache-2.0

// Clients that send half, send two at once, do not read, and do not close, each from an address of the loopback range.

import assert from 'node:assert/strict';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { closeServer, listenOn, makeHttpCounters, makeHttpServer } from '#src/api/http.ts';
import type { HttpLimits } from '#src/api/http-connections.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { until } from '../../helpers/until.ts';

const REQUEST = 'GET /small HTTP/1.1\r\nhost: x\r\n\r\n';
const HALF = 'GET /small HTTP/1.1\r\nhost: x\r\nx: ';
const LIMITS = { connectionsMax: 8, perAddressMax: 4, headMs: 6000, answerMs: 30_000 };
// More than the buffers of both sockets take.
const LARGE = new Uint8Array(16 * 1024 * 1024);

interface Client {
  readonly socket: Socket;
  said: string;
  isClosed: boolean;
}

async function open(t: TestContext, limits: Partial<HttpLimits> = {}) {
  const clock = new ManualClock();
  const counters = makeHttpCounters();
  const server = makeHttpServer(
    [
      { method: 'GET', path: '/small', handle: () => ({ status: 200, text: 'small\n' }) },
      { method: 'GET', path: '/large', handle: () => ({ status: 200, text: LARGE }) },
      { method: 'GET', path: '/never', handle: () => new Promise<never>(() => {}) },
      { method: 'POST', path: '/body', handle: async ({ readJson }) => ({ status: 200, json: await readJson() }) },
    ],
    {
      guardHost: false,
      limits: { ...LIMITS, ...limits },
      counters,
      clock,
      onError: (error) => assert.fail(String(error)),
    },
  );
  await listenOn(server, { host: '127.0.0.1', port: 0 }, 'ready-listen');
  const clients: Client[] = [];
  t.after(async () => {
    for (const { socket } of clients) socket.destroy();
    await closeServer(server);
  });
  let accepted = 0;
  server.on('connection', () => (accepted += 1));
  const dial = async (text: string, from = '127.0.0.1', reads = true): Promise<Client> => {
    const before = accepted;
    const socket = connect({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      localAddress: from,
      allowHalfOpen: true,
    });
    const client: Client = { socket, said: '', isClosed: false };
    clients.push(client);
    if (reads) socket.setEncoding('latin1').on('data', (part: string) => (client.said += part));
    for (const end of ['end', 'error', 'close']) socket.on(end, () => (client.isClosed = true));
    socket.write(text, 'latin1');
    await until('the connection is accepted', () => accepted > before);
    return client;
  };
  const count = (): Promise<number> => new Promise((resolve) => server.getConnections((_, size) => resolve(size)));
  const isAnswered = async (from?: string): Promise<void> => {
    const client = await dial(REQUEST, from);
    await until('it is answered', () => client.said.includes('small'));
    client.socket.destroy();
  };
  return { clock, counters, dial, count, isAnswered };
}

async function untilCount(door: { count(): Promise<number> }, wanted: number): Promise<void> {
  let size = -1;
  await until(`the server holds ${wanted} connections`, () => {
    void door.count().then((now) => (size = now));
    return size === wanted;
  });
}

test('http: half requests lock out neither others nor their own address', async (t) => {
  const door = await open(t);
  for (let i = 0; i < 20; i += 1) await door.dial(HALF, '127.0.0.2');
  await untilCount(door, 4);
  await door.isAnswered('127.0.0.2');
  await door.isAnswered();
  assert.equal(door.counters.turnedAway, 0);
  assert.equal(door.counters.displaced, 17);
});

test('http: many addresses with half requests do not lock out another', async (t) => {
  const door = await open(t);
  for (let i = 0; i < 32; i += 1) await door.dial(HALF, `127.0.1.${i}`);
  await untilCount(door, 8);
  await door.isAnswered();
});

test('http: a head that trickles is given its time once, and its socket is destroyed', async (t) => {
  const door = await open(t);
  const client = await door.dial(HALF);
  for (let i = 0; i < 5; i += 1) {
    door.clock.advance(1000);
    client.socket.write('a');
    await door.isAnswered('127.0.0.3');
  }
  assert.equal(door.counters.late, 0);
  door.clock.advance(1000);
  await untilCount(door, 0);
  assert.equal(door.counters.late, 1);
});

test('http: a connection that says nothing ends in time, and one that was answered is only let go', async (t) => {
  const door = await open(t);
  await door.dial('');
  const kept = await door.dial(REQUEST);
  await until('it is answered', () => kept.said.includes('small'));
  await door.isAnswered();
  door.clock.advance(6000);
  await untilCount(door, 0);
  assert.equal(door.counters.late, 1);
});

test('http: who gets a 400 and does not close is closed', async (t) => {
  const door = await open(t);
  const client = await door.dial('\0\r\n\r\n');
  await until('it is refused', () => client.said.startsWith('HTTP/1.1 400 '));
  assert.equal(await door.count(), 1);
  door.clock.advance(1000);
  await untilCount(door, 0);
  assert.equal(door.counters.refused, 1);
});

test('http: an answer that is not taken in time ends', async (t) => {
  const door = await open(t);
  await door.dial(REQUEST.replace('small', 'large'), '127.0.0.1', false);
  await door.isAnswered();
  door.clock.advance(30_000);
  await untilCount(door, 0);
  assert.equal(door.counters.late, 1);
});

test('http: a body that does not come ends', async (t) => {
  const door = await open(t);
  await door.dial('POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"a"');
  await door.isAnswered();
  door.clock.advance(10_000);
  await untilCount(door, 0);
  assert.deepEqual([door.counters.late, door.counters.failed], [1, 0]);
});

test('http: while all that an address may have is being answered, its next is turned away, and no other', async (t) => {
  const door = await open(t);
  for (let i = 0; i < 4; i += 1) await door.dial(REQUEST.replace('small', 'never'), '127.0.0.2');
  // What was sent before it is served before it.
  await door.isAnswered();
  const next = await door.dial(REQUEST, '127.0.0.2');
  await until('it is turned away', () => next.isClosed);
  assert.equal(door.counters.turnedAway, 1);
  await door.isAnswered();
});

test('http: requests that do not wait for the answer before are refused', async (t) => {
  const door = await open(t);
  const client = await door.dial(REQUEST.repeat(100));
  await untilCount(door, 0);
  await until('it is closed', () => client.isClosed);
  assert.ok(door.counters.refused >= 1);
  assert.ok(door.counters.served <= 1);
});

test('http: where an answer may take its time, it has it', async (t) => {
  const door = await open(t, { answerMs: undefined });
  const held = await door.dial(REQUEST.replace('small', 'never'));
  await door.isAnswered();
  door.clock.advance(3600_000);
  await door.isAnswered();
  await untilCount(door, 1);
  assert.equal(held.isClosed, false);
});
