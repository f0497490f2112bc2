// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeFileAtomically, writeFileAtomicallyAsync } from '#src/host/atomic-file.ts';
import { temporaryFolder } from '../discovery/loopback.ts';

const WAYS = { writeFileAtomically, writeFileAtomicallyAsync };

function withUmask(t: TestContext, mask: number): void {
  const before = process.umask(mask);
  t.after(() => process.umask(before));
}

for (const [name, write] of Object.entries(WAYS)) {
  test(`${name}: the file has the content and the mode, whatever the umask, and nothing lies beside it`, async (t) => {
    withUmask(t, 0o077);
    const folder = join(temporaryFolder(t), 'made');
    const path = join(folder, 'file');
    await write(path, 'one', 0o644);
    await write(path, 'two', 0o644);
    assert.equal(readFileSync(path, 'utf8'), 'two');
    assert.equal(statSync(path).mode & 0o777, 0o644);
    assert.deepEqual(readdirSync(folder), ['file']);
  });

  test(`${name}: what cannot be put in its place is told and leaves nothing beside it`, async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'taken');
    mkdirSync(path);
    await assert.rejects(async () => write(path, 'one', 0o600), { code: 'EISDIR' });
    assert.deepEqual(readdirSync(folder), ['taken']);
  });
}
