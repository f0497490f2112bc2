// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { planSandbox, type SandboxHost, writeResolvConf } from '#src/pods/sandbox.ts';

const HOST: SandboxHost = { node: 'n1', podsCgroup: '/c/pods', mtu: 1500, nameservers: [], clusterDomain: 'x' };

test('planSandbox: a pod is called by its name', () => {
  const { cgroup, hostname, linkName } = planSandbox(HOST, 'shop', 'web-1', []);
  assert.equal(cgroup, '/c/pods/shop_web-1');
  assert.equal(hostname, 'web-1');
  assert.ok(linkName.length <= 15);
});

test('planSandbox: names as long as Kubernetes allows fit the kernel, and stay apart', () => {
  const namespace = 'n'.repeat(63);
  // 62 letters and a dot: cut there, a host name would end with it.
  const stem = `${'w'.repeat(62)}.${'x'.repeat(189)}`;
  const [one, other] = [`${stem}1`, `${stem}2`].map((name) => planSandbox(HOST, namespace, name, []));
  assert.equal(`${stem}1`.length, 253);
  assert.equal(basename(one?.cgroup ?? '').length, 255);
  assert.notEqual(one?.cgroup, other?.cgroup);
  assert.equal(one?.hostname, 'w'.repeat(62));
});

test('writeResolvConf: a pod asks the resolvers of the node; a disk without room is told with path and advice', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'groundwire-netns-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const host = { nameservers: ['10.0.0.1', 'fd00::1'], clusterDomain: 'x' };
  await writeResolvConf(host, { namespaceName: 'roomy' }, 'shop', root);
  assert.equal(
    readFileSync(join(root, 'roomy/resolv.conf'), 'utf8'),
    'nameserver 10.0.0.1\nnameserver fd00::1\nsearch shop.svc.x svc.x x\noptions ndots:5\n',
  );
  mkdirSync(join(root, 'full'));
  symlinkSync('/dev/full', join(root, 'full/resolv.conf'));
  await assert.rejects(writeResolvConf(host, { namespaceName: 'full' }, 'shop', root), {
    message: `${root}/full/resolv.conf cannot be written: no space left on device; free space on that disk`,
  });
});
