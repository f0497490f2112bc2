// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SettingError } from '#src/config/setting-error.ts';
import { MESH_ABI_VERSION } from '#src/engine/layout.gen.ts';
import { pinDirectoryOf, refuseOtherPins } from '#src/node/pins.ts';

test('pins: their directory is named after the version of the maps in it', () => {
  assert.equal(pinDirectoryOf('/sys/fs/bpf', 'a'), `/sys/fs/bpf/groundwire/a/v${MESH_ABI_VERSION}`);
  assert.equal(pinDirectoryOf('/sys/fs.d', 'a.b.c', 7), '/sys/fs.d/groundwire/a+b+c/v7', 'as the file system takes it');
});

test('pins: fails closed: an agent does not start beside pins of another version', async (t) => {
  const bpffs = mkdtempSync(join(tmpdir(), 'gw-pins-'));
  t.after(() => rmSync(bpffs, { recursive: true }));
  await refuseOtherPins(bpffs, 'a', 2);
  mkdirSync(pinDirectoryOf(bpffs, 'a', 2), { recursive: true });
  mkdirSync(pinDirectoryOf(bpffs, 'b', 1), { recursive: true });
  await refuseOtherPins(bpffs, 'a', 2);
  mkdirSync(pinDirectoryOf(bpffs, 'a', 1));
  await assert.rejects(refuseOtherPins(bpffs, 'a', 2), (error: unknown) => {
    assert.ok(error instanceof SettingError);
    assert.match(error.message, /groundwire\/a\/v1; this one makes v2/);
    return true;
  });
});
