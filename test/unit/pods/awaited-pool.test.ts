// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwaitedPool } from '#src/pods/awaited-pool.ts';
import { recordingLog } from '../discovery/loopback.ts';

test('AwaitedPool: ranges of no use, whoever gives them, are told once and the next ones are taken', async () => {
  const { log, lines } = recordingLog();
  const pool = new AwaitedPool([], log);
  const useless = [[], ['10.1.0.0/31'], ['10.1.0.0/24', 'fd00::1/128'], ['10.1.0.1'], ['not a range']];
  for (const ranges of useless) {
    pool.give(ranges);
    pool.give(ranges);
  }
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields['ranges']]),
    useless.map((ranges) => ['error', ranges.join(',')]),
  );
  pool.give(['10.1.0.0/24']);
  pool.give(['10.2.0.0/24']);
  assert.deepEqual((await pool.opened).cidrs, ['10.1.0.0/24']);
});

test('AwaitedPool: a node with ranges of its own does not look at what it is given', async () => {
  const { log, lines } = recordingLog();
  const pool = new AwaitedPool(['10.3.0.0/24'], log);
  pool.give(['10.1.0.0/32']);
  assert.deepEqual((await pool.opened).cidrs, ['10.3.0.0/24']);
  assert.deepEqual(lines, []);
});
