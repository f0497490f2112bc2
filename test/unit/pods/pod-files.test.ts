// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SettingError } from '#src/config/setting-error.ts';
import type { Log } from '#src/model/log.ts';
import type { PodRecord } from '#src/pods/pod.ts';
import { mayHavePodFiles, PodFiles, readPodRecords } from '#src/pods/pod-files.ts';
import { recordingLog } from '../discovery/loopback.ts';

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
  assert.equal(await files.mayHavePods(), true);
  assert.deepEqual(await new PodFiles(directory, SILENT).readAll(), [RECORD]);
  await files.remove(RECORD.uid);
  assert.equal(await files.mayHavePods(), false);
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
  assert.equal(await mayHavePodFiles(directory), false);
  assert.deepEqual(await files.readAll(), []);
  assert.deepEqual(readdirSync(directory), []);
});

test('a file that cannot be read costs no pod: the start fails, names it, and nothing is removed', async (t) => {
  const directory = folder(t);
  const files = new PodFiles(directory, SILENT);
  files.write(RECORD);
  writeFileSync(join(directory, 'uid-0.json'), '{"uid":');
  // What a read of a directory throws stands for whatever the system may say.
  mkdirSync(join(directory, 'uid-2.json'));
  await assert.rejects(
    files.readAll(),
    (error: unknown) =>
      error instanceof SettingError &&
      /--run-dir \S+\/uid-2\.json cannot be read: .*; see what is in the way/.test(error.message),
  );
  assert.deepEqual(readdirSync(directory).sort(), ['uid-0.json', 'uid-1.json', 'uid-2.json']);
  assert.equal(await files.mayHavePods(), true);
});

test('a directory that cannot be read is no empty one', async (t) => {
  const directory = folder(t);
  writeFileSync(directory, 'a file where the directory belongs');
  const files = new PodFiles(directory, SILENT);
  await assert.rejects(files.readAll(), SettingError);
  assert.equal(await files.mayHavePods(), true);
  assert.equal(await mayHavePodFiles(directory), true);
  await assert.rejects(readPodRecords(directory), { code: 'ENOTDIR' });
});

test('a file whose content is no pod is removed, with the reason', async (t) => {
  const directory = folder(t);
  const { log, lines } = recordingLog();
  const files = new PodFiles(directory, log);
  files.write(RECORD);
  writeFileSync(join(directory, 'uid-2.json'), '{"uid":');
  writeFileSync(join(directory, 'uid-3.json'), '{"uid":"uid-3"}');
  assert.deepEqual(await readPodRecords(directory), [RECORD], 'who only looks removes nothing');
  assert.deepEqual(await files.readAll(), [RECORD]);
  assert.deepEqual(readdirSync(directory), ['uid-1.json']);
  const reasons = lines.map(({ fields }) => String(fields['reason'])).sort();
  assert.match(reasons[0] ?? '', /JSON/);
  assert.match(reasons[1] ?? '', /not the whole of a pod/);
});
