// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeFileAtomically } from '#src/identity/secret-file.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'groundwire-secret-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('a file is replaced whole, with its mode, and nothing beside it', (t) => {
  const directory = folder(t);
  const path = join(directory, 'token');
  for (const content of ['one', 'two']) {
    writeFileAtomically(path, content, 0o600);
    assert.deepEqual([readFileSync(path, 'utf8'), statSync(path).mode & 0o777], [content, 0o600]);
  }
  assert.deepEqual(readdirSync(directory), ['token']);
});

test('a file that cannot be put in its place leaves no copy of the secret', (t) => {
  const directory = folder(t);
  mkdirSync(join(directory, 'token'));
  assert.throws(() => writeFileAtomically(join(directory, 'token'), 'secret', 0o600), { code: 'EISDIR' });
  assert.deepEqual(readdirSync(directory), ['token']);
});
