// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuietLogs } from '#src/model/quiet-logs.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

test('QuietLogs: each key once and then counted, until it is over', () => {
  const clock = new ManualClock();
  const logs = new QuietLogs(clock);
  const said: string[] = [];
  const say = (key: string): void => logs.say(key, (keptBack) => said.push(`${key} ${keptBack}`));
  for (const key of ['a', 'a', 'b', 'a']) say(key);
  assert.deepEqual(said.splice(0), ['a 0', 'b 0']);
  clock.advance(3_600_000);
  say('a');
  assert.deepEqual(said.splice(0), ['a 2']);
  logs.reset('a');
  say('a');
  say('b');
  assert.deepEqual(said.splice(0), ['a 0', 'b 0']);
  logs.reset();
  say('b');
  assert.deepEqual(said.splice(0), ['b 0']);
});

test('QuietLogs: whoever makes up ever new keys costs no more than 256 of them', () => {
  const logs = new QuietLogs(new ManualClock());
  let said = 0;
  const say = (key: string): void => logs.say(key, () => said++);
  for (let key = 0; key <= 256; key += 1) say(`${key}`);
  assert.equal(said, 257);
  say('256');
  assert.equal(said, 257, 'the newest are known');
  say('0');
  assert.equal(said, 258, 'the oldest was forgotten, and is told once more');
});
