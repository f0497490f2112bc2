// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameDesk } from '#src/dialogue/name-desk.ts';
import type { ResolvedName } from '#src/mesh/resolved-name.ts';
import type { HostAnswer } from '#src/node/host-lookup.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog } from '../discovery/loopback.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const found = (address: string, ttlSeconds = 60): HostAnswer => ({ kind: 'found', addresses: [address], ttlSeconds });

/** A desk whose resolver answers what stands in `answers`; `told` is what the mesh heard. */
function openDesk() {
  const clock = new ManualClock();
  const { log, lines } = recordingLog();
  const answers = new Map<string, HostAnswer>();
  const asked: string[] = [];
  const told: [string, ResolvedName | undefined][] = [];
  const desk = new NameDesk({
    lookUp: (hostname) => {
      asked.push(hostname);
      return Promise.resolve(answers.get(hostname) ?? { kind: 'none', exists: false });
    },
    setName: (hostname, resolved) => told.push([hostname, resolved]),
    clock,
    log,
  });
  return { desk, clock, answers, asked, told, lines };
}

test('NameDesk: a name is looked up when it is wanted, and again when its TTL is over', async () => {
  const { desk, clock, answers, asked, told } = openDesk();
  answers.set('a.example', found('192.0.2.1'));
  desk.want('a.example');
  desk.want('a.example');
  await turn();
  assert.deepEqual([asked, told], [['a.example'], [['a.example', { kind: 'found', addresses: ['192.0.2.1'] }]]]);
  clock.advance(59_999);
  assert.equal(asked.length, 1);
  answers.set('a.example', found('192.0.2.2'));
  clock.advance(1);
  await turn();
  assert.deepEqual(told.at(-1), ['a.example', { kind: 'found', addresses: ['192.0.2.2'] }]);
});

test('NameDesk: a name that nobody wants any more is let go', async () => {
  const { desk, clock, answers, asked, told } = openDesk();
  answers.set('a.example', found('192.0.2.1', 1));
  desk.want('a.example');
  await turn();
  for (let i = 0; i < 20; i += 1) {
    clock.advance(1_000);
    await turn();
  }
  assert.deepEqual([asked.length, told.at(-1), desk.size], [10, ['a.example', undefined], 0]);
});

test('NameDesk: while nobody answers the last addresses stay, for ten minutes, and it is told', async () => {
  const { desk, clock, answers, told, lines } = openDesk();
  answers.set('a.example', found('192.0.2.1', 1));
  desk.want('a.example');
  await turn();
  answers.set('a.example', { kind: 'failed', reason: 'ETIMEOUT' });
  clock.advance(1_000);
  await turn();
  assert.equal(told.at(-1)?.[1]?.kind, 'found');
  assert.match(
    desk.problems().join(),
    /^the name a\.example .* cannot be resolved: ETIMEOUT; its last addresses stay in force$/,
  );
  assert.equal(lines.length, 1);
  for (let i = 0; i < 130; i += 1) {
    desk.want('a.example');
    clock.advance(5_000);
    await turn();
  }
  assert.ok(told.some(([, resolved]) => resolved?.kind === 'failed'));
  assert.match(desk.problems().join(), /connections to its service are refused/);
  answers.set('a.example', found('192.0.2.1', 1));
  for (let i = 0; i < 3; i += 1) {
    desk.want('a.example');
    clock.advance(5_000);
    await turn();
  }
  assert.deepEqual(desk.problems(), []);
});

test('NameDesk: a question gets what is left of the TTL, and what does not exist is told apart from what failed', async () => {
  const { desk, clock, answers } = openDesk();
  answers.set('a.example', found('192.0.2.1', 60));
  assert.deepEqual(await desk.ask('a.example'), { kind: 'found', addresses: ['192.0.2.1'], ttlSeconds: 60 });
  clock.advance(20_000);
  assert.deepEqual(await desk.ask('a.example'), { kind: 'found', addresses: ['192.0.2.1'], ttlSeconds: 40 });
  assert.deepEqual(await desk.ask('gone.example'), { kind: 'none', exists: false });
  answers.set('bad.example', { kind: 'failed', reason: 'ESERVFAIL' });
  assert.deepEqual(await desk.ask('bad.example'), { kind: 'failed' });
});
