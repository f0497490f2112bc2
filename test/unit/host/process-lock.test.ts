// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findHolder, LockHeld, takeLock } from '#src/host/process-lock.ts';

const taken = (holder: number): string => `taken by ${holder}`;

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'groundwire-lock-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

test('of many that find the holder dead at once, one gets the lock', async (t) => {
  const directory = await folder(t);
  const path = join(directory, 'agent.lock');
  const gone = spawnSync('true').pid;
  for (const left of [JSON.stringify({ pid: gone, startTicks: 1 }), '', '{"pid":']) {
    for (let round = 0; round < 25; round++) {
      await writeFile(path, left);
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => takeLock(path, taken)));
      const refusals = results.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
      assert.equal(refusals.length, 7);
      assert.ok(refusals.every((reason) => reason instanceof LockHeld));
      assert.equal((JSON.parse(await readFile(path, 'utf8')) as { pid: number }).pid, process.pid);
      assert.deepEqual(await readdir(directory), ['agent.lock'], 'nothing is left beside it');
      await rm(path);
    }
  }
});

test('the lock of a holder that lives is refused by its name', async (t) => {
  const path = join(await folder(t), 'agent.lock');
  await takeLock(path, taken);
  await assert.rejects(takeLock(path, taken), new RegExp(`taken by ${process.pid}`));
});

test('a lock that cannot be read is not taken over', async (t) => {
  const directory = await folder(t);
  const path = join(directory, 'agent.lock');
  await mkdir(path);
  await assert.rejects(takeLock(path, taken), { code: 'EISDIR' });
  await assert.rejects(findHolder(path), { code: 'EISDIR' });
  assert.deepEqual(await readdir(directory), ['agent.lock'], 'nothing is left beside it');
});
