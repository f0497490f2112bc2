// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CounterHelp,
  ENGINE_COUNTERS,
  ENGINE_READINGS,
  KERNEL_COUNTERS,
  KERNEL_READINGS,
} from '#src/telemetry/engine-counters.ts';
import { AGENT_COUNTERS, CONTROL_COUNTERS } from '#src/telemetry/part-counters.ts';
import { prefixed } from '#src/telemetry/readings.ts';

const TABLES: readonly Readonly<Record<string, CounterHelp>>[] = [
  ENGINE_COUNTERS,
  ENGINE_READINGS,
  KERNEL_COUNTERS,
  KERNEL_READINGS,
];

test('a name is one counter, of the engine or of the kernel', () => {
  const names = TABLES.flatMap((table) => Object.keys(table));
  assert.equal(new Set(names).size, names.length);
});

test('what a drop, refusal or failure means is said with what to do', () => {
  for (const [name, [counts, rises]] of [...TABLES, AGENT_COUNTERS, CONTROL_COUNTERS].flatMap((table) =>
    Object.entries(table),
  )) {
    assert.match(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
    assert.ok(counts.length > 10 && !counts.endsWith('.') && !rises.endsWith('.'), name);
    if (
      /refused|rejected|nacks|dropped|fail|full|limit|timeout|expired|forged|flood|malformed|unreadable|error/.test(
        name,
      )
    )
      assert.ok(rises.length > 10, name);
  }
});

test('prefixed: names as everywhere in metrics', () => {
  const parts = { cache: { writes: 1, writeFailures: 2 }, pods: { steps_failed: 3 } };
  assert.deepEqual(
    [...prefixed(parts)],
    [
      ['cache_writes', 1],
      ['cache_write_failures', 2],
      ['pods_steps_failed', 3],
    ],
  );
});
