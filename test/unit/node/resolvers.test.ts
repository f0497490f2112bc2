// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { findResolvers, resolveFromByDefault, upstreamResolvers } from '../../../src/node/resolvers.ts';

test('findResolvers: the servers of a resolv.conf in its order, those on loopback too', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'resolvers-'));
  try {
    const path = join(directory, 'resolv.conf');
    const lines = [
      '# nameserver 192.0.2.1',
      'search example',
      'nameserver 127.0.0.53',
      ' nameserver\t10.96.0.10 # the cluster',
      'nameserver fe80::1%eth0',
      'nameserver 2001:DB8::53',
      'nameserver',
    ];
    await writeFile(path, lines.join('\n'));
    assert.deepEqual(await findResolvers(path), ['127.0.0.53', '10.96.0.10', '2001:db8::53']);
    assert.deepEqual(await findResolvers(join(directory, 'absent')), []);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('resolveFromByDefault: pods that are made here ask by the node, those of Kubernetes by themselves', () => {
  assert.deepEqual([resolveFromByDefault(true), resolveFromByDefault(false)], ['node', 'pod']);
});

test('upstreamResolvers: from the pod, but what is only on the node from there', () => {
  assert.deepEqual(upstreamResolvers(['127.0.0.53', '::1', '10.96.0.10'], 'pod'), [
    { address: '127.0.0.53', fromNode: true },
    { address: '::1', fromNode: true },
    { address: '10.96.0.10', fromNode: false },
  ]);
  assert.deepEqual(upstreamResolvers(['10.96.0.10'], 'node'), [{ address: '10.96.0.10', fromNode: true }]);
});
