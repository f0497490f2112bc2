// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type CounterHelp, ENGINE_COUNTERS, KERNEL_COUNTERS } from '#src/telemetry/engine-counters.ts';
import { AGENT_COUNTERS, CONTROL_COUNTERS } from '#src/telemetry/part-counters.ts';
import { prefixed } from '#src/telemetry/readings.ts';

function namesIn(file: string, name: RegExp): string[] {
  const text = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
  return [...text.matchAll(name)].map((match) => match[1] ?? '');
}

test('each counter of the engine has its line, and there is none for one that is not', () => {
  const counted = namesIn('native/core/base/counters.h', /^ {2}X\(k\w+, "(\w+)"\)/gm);
  const added = namesIn('native/core/engine/engine.cc', /msg::Counter\{"(\w+)"/g);
  assert.ok(counted.length > 50 && added.length > 0);
  assert.deepEqual(Object.keys(ENGINE_COUNTERS), [...counted, ...added]);
});

test('each counter of the kernel has its line, and there is none for one that is not', () => {
  const counted = namesIn('bpf/mesh_abi.h', /^\tX\([A-Z_]+, "(\w+)"\)/gm);
  const added = namesIn('native/core/capture/capture.cc', /counters\.emplace_back\(\s*"(\w+)"/g);
  assert.ok(counted.length > 25 && added.length > 0);
  assert.deepEqual(Object.keys(KERNEL_COUNTERS), [...counted, ...added]);
});

test('what a drop, refusal or failure means is said with what to do', () => {
  const tables: readonly Readonly<Record<string, CounterHelp>>[] = [
    ENGINE_COUNTERS,
    KERNEL_COUNTERS,
    AGENT_COUNTERS,
    CONTROL_COUNTERS,
  ];
  for (const [name, [counts, rises]] of tables.flatMap((table) => Object.entries(table))) {
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
