// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SettingError } from '#src/config/setting-error.ts';
import { findProcess } from '#src/host/process-id.ts';
import { LockHeld } from '#src/host/process-lock.ts';
import { findRunDirectory, NodeClaim } from '#src/node/node-claim.ts';
import { nameLivingPods } from '#src/pods/living-pods.ts';

async function machine(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'groundwire-claim-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const claims = join(root, 'claims');
  return {
    claims,
    one: join(root, 'one'),
    other: join(root, 'other'),
    take: (runDirectory: string) => NodeClaim.take('n', runDirectory, nameLivingPods, claims),
    remembered: () => findRunDirectory('n', claims),
  };
}

/** A pod of `runDirectory`, as its agent writes it down. */
async function writePod(runDirectory: string, name: string, holder: unknown): Promise<void> {
  const pods = join(runDirectory, 'n', 'pods');
  await mkdir(pods, { recursive: true });
  const record = { uid: name, handle: 1, spec: { namespace: 'shop', name }, sandbox: {}, holder, captured: true };
  await writeFile(join(pods, `${name}.json`), JSON.stringify(record));
}

test('a node is had by one agent, whatever the run directory of another', async (t) => {
  const { one, other, take, remembered, claims } = await machine(t);
  const claim = await take(one);
  await assert.rejects(
    take(other),
    (error: Error) =>
      error instanceof LockHeld &&
      new RegExp(`node n is served by another agent already, process ${process.pid}`).test(error.message),
  );
  assert.equal(await remembered(), one, 'who is refused finds the agent that has it');
  await assert.rejects(take(one), LockHeld);
  await claim.release(false);
  assert.deepEqual(await readdir(claims), [], 'nothing stays');
  await (await take(other)).release(false);
});

test('pods that live are kept from an agent with another run directory, which is told whose they are', async (t) => {
  const { one, other, take, remembered } = await machine(t);
  const claim = await take(one);
  await writePod(one, 'far', await findProcess(process.pid));
  await claim.release(true);
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(take(other), (error: Error) => {
      assert.ok(error instanceof SettingError);
      assert.match(
        error.message,
        /--run-dir \S+\/other cannot be used: .*\/one \(shop\/far\); start .* --run-dir \S+\/one/,
      );
      return true;
    });
    assert.equal(await remembered(), one);
  }
  await (await take(one)).release(true);
});

test('an agent that was killed keeps nobody from a node whose pods are gone', async (t) => {
  const { claims, one, other, take, remembered } = await machine(t);
  const gone = { pid: spawnSync('true').pid, startTicks: 1 };
  await take(one);
  await writeFile(join(claims, 'n', 'node.lock'), JSON.stringify(gone));
  await writePod(one, 'far', gone);
  await take(other);
  assert.equal(await remembered(), other);
});

test('pods of another run directory that cannot be read may live', async (t) => {
  const { one, other, take } = await machine(t);
  await (await take(one)).release(true);
  await mkdir(join(one, 'n', 'pods', 'far.json'), { recursive: true });
  await assert.rejects(take(other), /--run-dir \S+\/one\/n\/pods cannot be read: .*; see what is in the way/);
});
