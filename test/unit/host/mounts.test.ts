// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountsOf, parseMounts } from '#src/host/mounts.ts';

const MOUNTINFO = [
  '22 1 0:20 / /proc rw,nosuid - proc proc rw',
  '31 25 0:27 / /sys/fs/cgroup/unified rw shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate',
  '32 25 0:28 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu',
  String.raw`40 1 0:33 / /mnt/a\040-\040cgroup2\134b rw - bpf none rw`,
  '41 1 0:27 /below /mnt/again rw - cgroup2 none rw',
  '',
].join('\n');

test('mounts: those of a type and no other, with optional fields and without, and with names as they are', () => {
  assert.deepEqual(parseMounts(MOUNTINFO, 'cgroup2'), ['/sys/fs/cgroup/unified', '/mnt/again']);
  assert.deepEqual(parseMounts(MOUNTINFO, 'cgroup'), ['/sys/fs/cgroup/cpu']);
  assert.deepEqual(parseMounts(MOUNTINFO, 'bpf'), [String.raw`/mnt/a - cgroup2\b`]);
  assert.deepEqual(parseMounts(MOUNTINFO, 'ext4'), []);
});

test('mounts: this machine has /proc', () => {
  assert.ok(mountsOf('proc').includes('/proc'));
});
