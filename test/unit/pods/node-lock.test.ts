// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { NodeBusy, takeNodeLock } from '#src/pods/node-lock.ts';

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
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => takeNodeLock(path, 'a')));
      const refusals = results.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
      assert.equal(refusals.length, 7);
      assert.ok(refusals.every((reason) => reason instanceof NodeBusy));
      assert.equal((JSON.parse(await readFile(path, 'utf8')) as { pid: number }).pid, process.pid);
      assert.deepEqual(await readdir(directory), ['agent.lock'], 'nothing is left beside it');
      await rm(path);
    }
  }
});

test('the lock of a holder that lives is refused by its name', async (t) => {
  const path = join(await folder(t), 'agent.lock');
  await takeNodeLock(path, 'a');
  await assert.rejects(takeNodeLock(path, 'a'), new RegExp(`served by another agent already, process ${process.pid}`));
});
