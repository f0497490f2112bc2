// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuietLog } from '#src/model/quiet-log.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

test('what happens every second for an hour is told a few times, and counted whole', () => {
  const clock = new ManualClock();
  const quiet = new QuietLog(clock);
  const told: number[] = [];
  for (let second = 0; second < 3600; second++) {
    quiet.say((keptBack) => told.push(keptBack));
    clock.advance(1000);
  }
  assert.deepEqual(told.slice(0, 4), [0, 9, 19, 39]);
  assert.ok(told.length <= 12, `${told.length} lines`);
  quiet.reset();
  quiet.say((keptBack) => told.push(keptBack));
  assert.equal(told.at(-1), 0, 'news again');
});
