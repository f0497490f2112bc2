// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeFactsReader } from '#src/api/node-facts.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

test('node facts: what changes is read once a second, however often it is asked for', async () => {
  const clock = new ManualClock();
  const reader = await NodeFactsReader.open('a', ['192.0.2.1'], clock);
  const first = reader.read();
  const facts = await first;
  assert.deepEqual([facts.name, facts.addresses], ['a', ['192.0.2.1']]);
  assert.ok(facts.cores > 0 && facts.memoryTotalBytes > 0 && facts.kernel !== '');
  clock.advance(999);
  assert.equal(reader.read(), first);
  clock.advance(1);
  assert.notEqual(reader.read(), first);
});
