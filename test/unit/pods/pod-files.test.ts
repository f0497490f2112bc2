// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SettingError } from '#src/config/setting-error.ts';
import type { Log } from '#src/model/log.ts';
import type { PodRecord } from '#src/pods/pod.ts';
import { hasPodFiles, PodFiles } from '#src/pods/pod-files.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

const RECORD: PodRecord = {
  uid: 'uid-1',
  handle: 1,
  spec: { namespace: 'shop', name: 'web', serviceAccount: 'web', labels: {}, annotations: {}, ports: {} },
  sandbox: { namespaceName: 'n', netnsPath: '', linkName: 'l', cgroup: '/c', addresses: ['10.0.0.1'], hostname: 'web' },
  holder: { pid: 1, startTicks: 1 },
  startedMs: 0,
  captured: false,
};

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'groundwire-pods-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return join(path, 'pods');
}

test('a pod is on disk from its write to its removal', async (t) => {
  const directory = folder(t);
  const files = new PodFiles(directory, SILENT);
  assert.deepEqual(await files.readAll(), []);
  files.write(RECORD);
  assert.equal(await files.hasPods(), true);
  assert.deepEqual(await new PodFiles(directory, SILENT).readAll(), [RECORD]);
  await files.remove(RECORD.uid);
  assert.equal(await files.hasPods(), false);
  assert.deepEqual(readdirSync(directory), []);
});

test('a write that fails names the directory and a way out, counts, and stays told until one works', async (t) => {
  const directory = folder(t);
  writeFileSync(directory, 'a file where the directory belongs');
  const files = new PodFiles(directory, SILENT);
  assert.throws(
    () => files.write(RECORD),
    (error: unknown) => error instanceof SettingError && error.message === files.problem,
  );
  assert.match(files.problem ?? '', /--run-dir \S+\/pods cannot be written to: .*; name a directory that can be/);
  assert.equal(files.counters.writeFailures, 1);
  assert.equal(await files.hasPods(), false);

  await files.retry();
  assert.notEqual(files.problem, undefined);
  rmSync(directory);
  await files.retry();
  assert.equal(files.problem, undefined);
  assert.deepEqual(readdirSync(directory), [], 'nothing is left of the trial');
});

test('what a write that was cut short left is no pod', async (t) => {
  const directory = folder(t);
  const files = new PodFiles(directory, SILENT);
  files.write(RECORD);
  await files.remove(RECORD.uid);
  writeFileSync(join(directory, 'uid-1.json.0123456789ab.tmp'), '{"uid":');
  assert.equal(await hasPodFiles(directory), false);
  assert.deepEqual(await files.readAll(), []);
  assert.deepEqual(readdirSync(directory), []);
});
