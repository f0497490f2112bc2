// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '#src/harness/shell.ts';

test('a command that runs out of time ends with what it started, which holds its output', async () => {
  const begun = performance.now();
  const { code } = await run(['sh', '-c', 'sleep 60; true'], { timeoutMs: 1000 });
  assert.equal(code, 137);
  assert.ok(performance.now() - begun < 50_000, 'nobody waited for the sleep');
});
