// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findProcess, isAlive } from '#src/host/process-id.ts';

test('a process is alive until it ends, and its pid alone is not it', async (t) => {
  const child = spawn('sleep', ['1000']);
  t.after(() => child.kill('SIGKILL'));
  const found = await findProcess(child.pid ?? 0);
  assert.ok(found);
  assert.equal(await isAlive(found), true);
  assert.equal(await isAlive({ ...found, startTicks: found.startTicks + 1 }), false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(await isAlive(found), false);
  assert.equal(await findProcess(spawnSync('true').pid), undefined);
});

test('a process that cannot be seen is not taken for one that has ended', async (t) => {
  const proc = mkdtempSync(join(tmpdir(), 'groundwire-proc-'));
  t.after(() => rmSync(proc, { recursive: true, force: true }));
  // What a read of a directory throws stands for whatever the system may say.
  mkdirSync(join(proc, '1', 'stat'), { recursive: true });
  await assert.rejects(findProcess(1, proc), { code: 'EISDIR' });
  assert.equal(await findProcess(2, proc), undefined);
});
