// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SettingError } from '#src/config/setting-error.ts';
import type { Log } from '#src/model/log.ts';
import { Forwarding } from '#src/node/node-network.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
// Says "0", and takes nothing from anybody.
const STAYS_OFF = '/sys/class/net/lo/carrier_changes';

/** A node that forwards IPv6 and not IPv4, unless told otherwise, with its interfaces and where to remember changes. */
function makeNode(t: TestContext, ipv6 = '1', acceptRa: Readonly<Record<string, string>> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-sysctl-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const memory = join(directory, 'node', 'sysctls');
  const interfaces = join(directory, 'ipv6/conf');
  const [ipv4Path, ipv6Path] = [join(directory, 'ipv4/ip_forward'), join(interfaces, 'all/forwarding')];
  const put = (path: string, value: string): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${value}\n`);
  };
  put(ipv4Path, '0');
  put(ipv6Path, ipv6);
  for (const [name, value] of Object.entries(acceptRa)) put(join(interfaces, name, 'accept_ra'), value);
  const read = (path: string): string => readFileSync(path, 'utf8').trim();
  return {
    directory,
    memory,
    ipv4Path,
    interfaces,
    values: () => [ipv4Path, ipv6Path].map(read),
    acceptRa: () => Object.keys(acceptRa).map((name) => read(join(interfaces, name, 'accept_ra'))),
    forwarding: () => new Forwarding(memory, SILENT, directory),
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

test('a run that needs no forwarding turns none on, and off what one that was killed had turned on', async (t) => {
  const node = makeNode(t);
  const without = node.forwarding();
  await without.recall();
  await without.close();
  assert.deepEqual(node.values(), ['0', '1']);
  await node.forwarding().open();
  const next = node.forwarding();
  await next.recall();
  assert.deepEqual(node.values(), ['1', '1']);
  await next.close();
  assert.deepEqual(node.values(), ['0', '1']);
  assert.equal(existsSync(node.memory), false);
});

test('nothing is turned on that could not be remembered', async (t) => {
  const node = makeNode(t);
  symlinkSync('nowhere/at/all', join(node.directory, 'node'));
  await assert.rejects(node.forwarding().open(), (error: unknown) => {
    assert.ok(error instanceof SettingError);
    assert.match(error.message, /--run-dir \S+\/sysctls cannot be written: .*; name a directory/);
    return true;
  });
  assert.deepEqual(node.values(), ['0', '1']);
});

test('what a run that was killed has changed is not forgotten because it cannot be read', async (t) => {
  const node = makeNode(t);
  // What a read of a directory throws stands for whatever the system may say.
  mkdirSync(node.memory, { recursive: true });
  const forwarding = node.forwarding();
  for (const learn of [() => forwarding.open(), () => forwarding.recall()])
    await assert.rejects(learn, /--run-dir \S+\/sysctls cannot be read: .*; see what is in the way/);
  await forwarding.close();
  assert.equal(existsSync(node.memory), true, 'it is for the next one');
  assert.deepEqual(node.values(), ['0', '1']);
});

test('what cannot be turned on is not taken for ours', async (t) => {
  const node = makeNode(t, '0');
  rmSync(node.ipv4Path);
  symlinkSync(STAYS_OFF, node.ipv4Path);
  const forwarding = node.forwarding();
  await forwarding.open();
  assert.doesNotMatch(readFileSync(node.memory, 'utf8'), /ip_forward/);
  assert.deepEqual(node.values(), ['0', '1']);
  await forwarding.close();
  assert.deepEqual(node.values(), ['0', '0']);
});

const INTERFACES = { all: '1', default: '1', lo: '1', eth0: '1', eth1: '0', 'eth2.7': '2' };

test('a node that comes to forward IPv6 hears its routers as before, and as before again at the end', async (t) => {
  const node = makeNode(t, '0', INTERFACES);
  await node.forwarding().open();
  assert.deepEqual(
    [node.values(), node.acceptRa()],
    [
      ['1', '1'],
      ['1', '1', '1', '2', '0', '2'],
    ],
  );
  const next = node.forwarding();
  await next.open();
  await next.close();
  assert.deepEqual([node.values(), node.acceptRa()], [['0', '0'], Object.values(INTERFACES)]);
});

test('a node that forwards IPv6 already hears whom its owner lets it hear', async (t) => {
  const node = makeNode(t, '1', INTERFACES);
  const forwarding = node.forwarding();
  await forwarding.open();
  assert.deepEqual(node.acceptRa(), Object.values(INTERFACES));
  await forwarding.close();
  assert.deepEqual([node.values(), node.acceptRa()], [['0', '1'], Object.values(INTERFACES)]);
});

test('an interface that has gone meanwhile is no obstacle', async (t) => {
  const node = makeNode(t, '0', { eth0: '1' });
  const forwarding = node.forwarding();
  await forwarding.open();
  rmSync(join(node.interfaces, 'eth0'), { recursive: true });
  await forwarding.close();
  assert.deepEqual(node.values(), ['0', '0']);
  assert.equal(existsSync(node.memory), false);
});
