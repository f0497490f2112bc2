// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { StreamKeeper, type StreamKeeperOptions } from '#src/discovery/stream-keeper.ts';
import { ManualClock, recordingLog } from './loopback.ts';

/** A stream of gRPC as far as its keeper sees it. */
class FakeCall extends EventEmitter {
  readonly written: string[] = [];
  cancelled = false;
  closed = false;
  write(text: string): void {
    this.written.push(text);
  }
  cancel(): void {
    this.cancelled = true;
  }
}

function keep(t: TestContext, more: Partial<StreamKeeperOptions<string, string>> = {}) {
  const clock = new ManualClock();
  const { log, lines } = recordingLog();
  const calls: FakeCall[] = [];
  const received: string[] = [];
  const counters = { connects: 0, failures: 0 };
  const keeper: StreamKeeper<string, string> = new StreamKeeper<string, string>({
    dial: () => {
      const call = new FakeCall();
      calls.push(call);
      const client = {
        close: () => {
          call.closed = true;
        },
      };
      return { client, call: call as unknown as ClientDuplexStream<string, string> };
    },
    greet: () => keeper.write('hello'),
    receive: (text) => received.push(text),
    ended: { message: 'ended', reconnect: { initialMs: 10, maxMs: 1_000, jitter: 0 } },
    standingMs: 5_000,
    counters,
    clock,
    log,
    random: undefined,
    ...more,
  });
  t.after(() => keeper.close());
  const last = (): FakeCall => calls.at(-1) ?? assert.fail('nothing was dialled');
  return { keeper, clock, lines, calls, last, received, counters };
}

const refusal = Object.assign(new Error(), { code: 7, details: 'no' });

test('stream keeper: each stream is greeted, and what comes over one that has ended counts for nothing', (t) => {
  const { keeper, clock, last, received, counters } = keep(t);
  keeper.open();
  const first = last();
  assert.deepEqual(first.written, ['hello']);
  first.emit('end');
  assert.deepEqual([keeper.status().state, first.cancelled, first.closed], ['waiting', true, true]);
  keeper.write('lost');
  clock.advance(10);
  assert.deepEqual(last().written, ['hello']);
  first.emit('data', 'late');
  first.emit('error', refusal);
  last().emit('data', 'now');
  assert.deepEqual([received, counters], [['now'], { connects: 2, failures: 1 }]);
});

test('stream keeper: what cannot be dialled, and what cannot be greeted, is tried again', (t) => {
  const tries: (() => void)[] = [() => assert.fail('no token'), () => {}, () => {}];
  const made = keep(t);
  const dialled = keep(t, {
    dial: () => {
      tries.shift()?.();
      const call = new FakeCall();
      made.calls.push(call);
      return { client: { close() {} }, call: call as unknown as ClientDuplexStream<string, string> };
    },
    greet: () => {
      if (tries.length === 1) throw new Error('no words');
    },
  });
  dialled.keeper.open();
  assert.match(dialled.keeper.status().lastError, /no token/);
  dialled.clock.advance(10);
  assert.match(dialled.keeper.status().lastError, /no words/);
  assert.equal(made.calls[0]?.cancelled, true);
  dialled.clock.advance(20);
  assert.deepEqual([dialled.keeper.status().state, dialled.counters], ['open', { connects: 3, failures: 2 }]);
});

test('stream keeper: pauses grow until a stream has stood, also when each of them is answered', (t) => {
  const { keeper, clock, last, counters } = keep(t);
  keeper.open();
  for (const pauseMs of [10, 20, 40]) {
    keeper.onAnswered();
    clock.advance(4_999);
    last().emit('end');
    const { connects } = counters;
    clock.advance(pauseMs - 1);
    assert.equal(counters.connects, connects, `not before ${pauseMs} ms`);
    clock.advance(1);
    assert.equal(counters.connects, connects + 1);
  }
  keeper.onAnswered();
  clock.advance(60_000);
  last().emit('end');
  clock.advance(10);
  assert.deepEqual(counters, { connects: 5, failures: 4 });
});

test('stream keeper: who is refused waits and is told as such only where that is something else', (t) => {
  const refused = { message: 'refused', reconnect: { initialMs: 500, maxMs: 500, jitter: 0 } };
  for (const [more, pauseMs, level, message] of [
    [{}, 10, 'warn', 'ended'],
    [{ refused }, 500, 'error', 'refused'],
  ] as const) {
    const { keeper, clock, last, lines, counters } = keep(t, more);
    keeper.open();
    last().emit('error', refusal);
    clock.advance(pauseMs - 1);
    assert.equal(counters.connects, 1);
    clock.advance(1);
    assert.equal(counters.connects, 2);
    assert.deepEqual(
      lines.map((line) => [line.level, line.message, line.fields['code'], line.fields['retry_ms']]),
      [[level, message, 'PERMISSION_DENIED', pauseMs]],
    );
  }
});

test('stream keeper: a stream on which nothing comes is dead; once closed nothing is dialled any more', (t) => {
  const { keeper, clock, last, counters } = keep(t);
  keeper.open();
  clock.advance(10_000);
  assert.match(keeper.status().lastError, /the control plane did not answer in 10000 ms/);
  clock.advance(10);
  keeper.close();
  assert.deepEqual([keeper.status().state, last().closed, clock.timers], ['closed', true, 0]);
  keeper.hurry();
  clock.advance(60_000);
  assert.equal(counters.connects, 2);
});
