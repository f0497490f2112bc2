// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SettingError } from '#src/config/setting-error.ts';
import type { Log } from '#src/model/log.ts';
import { Forwarding } from '#src/pods/node-network.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
// Says "0", and takes nothing from anybody.
const STAYS_OFF = '/sys/class/net/lo/carrier_changes';

/** Two sysctls, the first off and the second on, and where to remember that. */
function makeNode(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-sysctl-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [off, on, memory] = [
    join(directory, 'off'),
    join(directory, 'on'),
    join(directory, 'node', 'sysctls'),
  ] as const;
  writeFileSync(off, '0\n');
  writeFileSync(on, '1\n');
  return {
    directory,
    memory,
    values: () => [off, on].map((path) => readFileSync(path, 'utf8').trim()),
    forwarding: (...more: string[]) => new Forwarding(memory, SILENT, [off, on, ...more]),
  };
}

test('what was off is turned on, and off again at the end; what was on stays', async (t) => {
  const node = makeNode(t);
  const forwarding = node.forwarding();
  await forwarding.open();
  assert.deepEqual(node.values(), ['1', '1']);
  await forwarding.close();
  assert.deepEqual(node.values(), ['0', '1']);
  assert.equal(existsSync(node.memory), false);
});

test('a run that was killed is undone by the next one', async (t) => {
  const node = makeNode(t);
  await node.forwarding().open();
  const next = node.forwarding();
  await next.open();
  assert.deepEqual(node.values(), ['1', '1']);
  await next.close();
  assert.deepEqual(node.values(), ['0', '1']);
});

test('nothing is turned on that could not be remembered', async (t) => {
  const node = makeNode(t);
  writeFileSync(join(node.directory, 'node'), 'a file where the directory belongs');
  await assert.rejects(node.forwarding().open(), (error: unknown) => {
    assert.ok(error instanceof SettingError);
    assert.match(error.message, /--run-dir \S+\/sysctls cannot be written: .*; name a directory/);
    return true;
  });
  assert.deepEqual(node.values(), ['0', '1']);
});

test('what cannot be turned on is not taken for ours', async (t) => {
  const node = makeNode(t);
  const forwarding = node.forwarding(STAYS_OFF);
  await forwarding.open();
  assert.doesNotMatch(readFileSync(node.memory, 'utf8'), /carrier_changes/);
  await forwarding.close();
  assert.deepEqual(node.values(), ['0', '1']);
});
