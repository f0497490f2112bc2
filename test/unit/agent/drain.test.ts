// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drain } from '#src/agent/drain.ts';
import type { EnginePort } from '#src/engine/port.ts';
import type { Command } from '#src/model/messages.gen.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { until } from '../../helpers/until.ts';

/** An engine with live connections, as its counter tells; who they are is not to be asked. */
function setUp(live: bigint) {
  const state = { live, reads: 0 };
  const commands: Command[] = [];
  const engine: Pick<EnginePort, 'apply' | 'readSnapshot'> = {
    apply: (batch) => {
      commands.push(...batch);
      return Promise.resolve();
    },
    readSnapshot: (parts) => {
      assert.deepEqual(parts, ['counters']);
      state.reads += 1;
      const counters = [{ kind: 'Counter', name: 'connections_live', value: state.live }] as const;
      return { connections: [], tunnels: [], flows: [], dnsUpstreams: [], counters };
    },
  };
  const clock = new ManualClock();
  let ended = false;
  const done = drain(engine, 1000, clock).then(() => {
    ended = true;
  });
  return { state, commands, clock, done, hasEnded: () => ended };
}

test('drain: waits for the last live connection', async () => {
  const { state, commands, clock, done, hasEnded } = setUp(2n);
  await until('it has looked', () => state.reads === 1);
  assert.deepEqual(commands, [{ kind: 'Drain', deadlineMs: 1000 }]);
  clock.advance(50);
  await until('it has looked again', () => state.reads === 2);
  assert.equal(hasEnded(), false);
  state.live = 0n;
  clock.advance(50);
  await done;
});

test('drain: waits no longer than its deadline', async () => {
  const { state, clock, done } = setUp(1n);
  await until('it has looked', () => state.reads === 1);
  clock.advance(1000);
  await done;
});
