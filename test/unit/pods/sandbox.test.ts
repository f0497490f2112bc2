// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { planSandbox, type SandboxHost } from '#src/pods/sandbox.ts';

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
