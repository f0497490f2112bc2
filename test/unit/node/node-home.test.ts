// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPlaces } from '#src/node/node-home.ts';

test('node home: a node whose name has dots pins where a BPF file system takes it, and apart from its neighbours', () => {
  const pins = (node: string): string => findPlaces(node, '/sys/fs/bpf', '/sys/fs/cgroup').pinDirectory;
  assert.match(pins('ip-10-0-0-1.ec2.internal'), /^\/sys\/fs\/bpf\/[^.]*$/);
  assert.notEqual(pins('a.b'), pins('a-b'));
  assert.notEqual(pins('a.b'), pins('ab'));
});
