// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import type { LoggerOptions } from '#src/telemetry/logger.ts';
import { Logger } from '#src/telemetry/logger.ts';
import { FakeStream } from './telemetry-fixtures.ts';

function open(options: Partial<LoggerOptions> = {}) {
  const stream = new FakeStream();
  const log = Logger.open(stream, { level: 'info', format: 'json', nowMs: () => 0, linesMax: 3, ...options });
  return { stream, log, last: () => JSON.parse(stream.lines.at(-1) ?? '{}') as Record<string, unknown> };
}

test('Logger: a JSON line has time, level, message, scope and fields', () => {
  const { log, last } = open();
  log.child('proxy', { 'conn.id': 'a' }).info('connection complete', { bytes_sent: 3, absent: undefined });
  assert.deepEqual(last(), {
    time: '1970-01-01T00:00:00.000Z',
    level: 'info',
    message: 'connection complete',
    scope: 'proxy',
    'conn.id': 'a',
    bytes_sent: 3,
  });
});

test('Logger: a text line quotes what is not plain and stays one line', () => {
  const { log, stream } = open({ format: 'text' });
  log.warn('policy rejected', { name: 'a b\nc', dst: '[::1]:80' });
  assert.deepEqual(stream.lines, ['1970-01-01T00:00:00.000Z warn  policy rejected name="a b\\nc" dst=[::1]:80\n']);
});

test('Logger: lines below the level are not written, and the level holds for children', () => {
  const { log, stream } = open();
  const child = log.child('x');
  child.debug('a');
  log.setLevel('debug');
  child.debug('b');
  log.setLevel('error');
  child.warn('c');
  assert.equal(stream.lines.length, 1);
});

for (const name of [
  'token',
  'join_token',
  'private_key',
  'privateKey',
  'tls.key',
  'certificatePem',
  'ca.pem',
  'password',
  'Authorization',
  'src.identity',
  'monkey',
]) {
  const secret = !['src.identity', 'monkey'].includes(name);
  test(`Logger: field ${name} is ${secret ? 'redacted' : 'written'}`, () => {
    const { log, last } = open();
    log.info('x', { [name]: 'value' });
    assert.equal(last()[name], secret ? '[redacted]' : 'value');
  });
}

test('Logger: fields cannot pose as another level or message', () => {
  const { log, last } = open();
  log.info('real', { message: 'forged', level: 'error' });
  assert.deepEqual([last()['message'], last()['level']], ['real', 'info']);
});

test('Logger: a long value is cut and the line stays JSON', () => {
  const { log, last } = open();
  log.info('x', { long: 'a'.repeat(100_000) });
  assert.equal(String(last()['long']).length, 1025);
});

test('Logger: a slow stream costs lines, which are counted, and never blocks', () => {
  const { log, stream } = open();
  stream.hold = true;
  for (let i = 0; i < 5; i++) log.info('x');
  assert.deepEqual(log.counters, { written: 0, dropped: 2, failed: 0 });
});

test('Logger: a full disk is counted and survived', () => {
  const { log, stream } = open();
  stream.fail = new Error('ENOSPC: no space left on device');
  log.info('lost');
  stream.fail = undefined;
  log.info('back');
  assert.deepEqual(log.counters, { written: 1, dropped: 0, failed: 1 });
});

test('Logger: a stream that throws is counted and survived', () => {
  const log = Logger.open(
    {
      write: () => {
        throw new Error('destroyed');
      },
    },
    { level: 'info', format: 'text', nowMs: () => 0, linesMax: 1 },
  );
  log.info('a');
  log.info('b');
  assert.equal(log.counters.failed, 2);
});
