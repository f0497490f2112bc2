// SPDX-License-Identifier: Apache-2.0

// Strangers before the control plane's port, each from an address of the loopback range, beside an agent with a token.

import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { GrpcConnections } from '#src/discovery/grpc-connections.ts';
import { GrpcServer } from '#src/discovery/grpc-server.ts';
import { issueServerCertificate } from '#src/identity/server-certificate.ts';
import { systemClock } from '#src/model/clock.ts';
import { Loopback, ManualClock, recordingLog, until } from './loopback.ts';

const HOUR_MS = 3_600_000;
const PATH = '/test.Echo/Say';
const EMPTY_MESSAGE = Buffer.alloc(5);
const asIs = (bytes: Buffer): Buffer => bytes;
const ECHO = {
  definition: {
    say: {
      path: PATH,
      requestStream: true,
      responseStream: true,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  },
  implementation: {
    say: (call: { on(event: 'data', echo: (bytes: Buffer) => void): void; write(bytes: Buffer): void }) =>
      call.on('data', (bytes) => call.write(bytes)),
  },
} as const;

async function open(t: TestContext) {
  const { authority, authentication, tokens } = await Loopback.open(t);
  const clock = new ManualClock();
  const { log, lines } = recordingLog();
  const connections = new GrpcConnections(clock, log);
  const server = await GrpcServer.open({
    listen: { host: '127.0.0.1', port: 0 },
    services: [ECHO],
    authentication,
    connections,
    issueCertificate: () => issueServerCertificate(authority, ['127.0.0.1'], HOUR_MS),
    clock: systemClock,
    log,
  });
  const { port } = server;
  const sockets = new Set<Socket>();
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  /** A connection that says nothing; `ended` is set when the server has let go of it. */
  const silent = async (localAddress = '127.0.0.2'): Promise<{ ended: boolean }> => {
    const stranger = { ended: false };
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    sockets.add(socket);
    for (const end of ['end', 'error', 'close']) socket.on(end, () => (stranger.ended = true));
    await new Promise((resolve) => socket.once('connect', resolve));
    return stranger;
  };
  const session = async (localAddress = '127.0.0.1'): Promise<ClientHttp2Session> => {
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    sockets.add(socket);
    const secure = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    const opened = connectHttp2('https://127.0.0.1', { createConnection: () => secure });
    opened.on('error', () => {});
    await new Promise((resolve, reject) => opened.once('connect', resolve).once('close', reject));
    return opened;
  };
  /** Opens a call; resolves with its gRPC status, or `open` when it has echoed. */
  const call = (on: ClientHttp2Session, token?: string): Promise<string> =>
    new Promise((resolve) => {
      const stream = on.request({
        ':method': 'POST',
        ':path': PATH,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      });
      stream.on('data', () => resolve('open'));
      stream.on('response', (headers) => {
        if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
      });
      stream.on('trailers', (headers) => resolve(String(headers['grpc-status'])));
      stream.on('error', () => {}).on('close', () => resolve('cut'));
      stream.write(EMPTY_MESSAGE);
    });
  return { clock, connections, silent, session, call, lines, token: tokens.make('node-a', HOUR_MS) };
}

const UNAUTHENTICATED = '16';

test('grpc: connections without a token are bounded, by address and over all, and ended in time', async (t) => {
  const { clock, connections, silent } = await open(t);
  const first = await Promise.all(Array.from({ length: 40 }, () => silent()));
  await until('one address has 32', () => connections.strangers.turnedAway === 8);
  const more = await Promise.all(Array.from({ length: 240 }, (_, i) => silent(`127.0.1.${i}`)));
  await until('the address with the most has made room', () => connections.strangers.displaced === 16);
  assert.equal(connections.strangers.turnedAway, 8);
  for (let second = 0; second < 10; second += 1) clock.advance(1000);
  await until('all are ended', () => [...first, ...more].every(({ ended }) => ended));
  assert.equal(connections.strangers.late, 256);
});

test('grpc: strangers lock out neither an agent that is there nor one that comes, not even from their address', async (t) => {
  const { clock, connections, silent, session, call, token } = await open(t);
  const there = await session();
  assert.equal(await call(there, token), 'open');
  for (let i = 0; i < 300; i += 1) void silent(`127.0.2.${i % 250}`);
  for (let i = 0; i < 32; i += 1) await silent('127.0.0.1');
  const comes = await session('127.0.0.9');
  assert.equal(await call(comes, token), 'open');
  clock.advance(1000);
  const beside = await session('127.0.0.1');
  assert.equal(await call(beside, token), 'open');
  for (let second = 0; second < 20; second += 1) clock.advance(1000);
  for (const one of [there, comes, beside]) assert.equal(await call(one, token), 'open');
  assert.deepEqual(connections.members, { displaced: 0, turnedAway: 0 });
});

test('grpc: a connection whose calls are refused ends with the eighth, and is told', async (t) => {
  const { connections, session, call, lines } = await open(t);
  const stranger = await session();
  for (let i = 0; i < 7; i += 1) assert.equal(await call(stranger, 'garbage'), UNAUTHENTICATED);
  await call(stranger);
  await until('it is closed', () => stranger.closed);
  assert.equal(connections.strangers.noisy, 1);
  const told = lines.find(({ message }) => message === 'connection without an accepted token ended');
  assert.deepEqual(told?.fields, { peer: '127.0.0.1', why: 'noisy', unsaid: 0 });
});

test('grpc: a connection that sends much and asks for nothing it may have ends before its time', async (t) => {
  const { clock, connections, session } = await open(t);
  const stranger = await session();
  for (let i = 0; i < 90; i += 1)
    stranger
      .request({ ':method': 'POST', ':path': '/no.Such/Method', 'x-much': `${i}`.repeat(1000) })
      .on('error', () => {});
  await until('it is told', () => {
    clock.advance(100);
    return stranger.closed;
  });
  assert.deepEqual([connections.strangers.noisy, connections.strangers.late], [1, 0]);
});

test('grpc: a node has sixteen connections; its seventeenth takes the place of the first', async (t) => {
  const { connections, session, call, token } = await open(t);
  const sessions: ClientHttp2Session[] = [];
  for (let i = 0; i < 17; i += 1) {
    const next = await session();
    assert.equal(await call(next, token), 'open');
    sessions.push(next);
  }
  await until('the first is ended', () => sessions[0]?.closed === true);
  assert.deepEqual(
    sessions.slice(1).map(({ closed }) => closed),
    Array.from({ length: 16 }, () => false),
  );
  assert.deepEqual(connections.members, { displaced: 1, turnedAway: 0 });
});
