// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SCRIPTS = fileURLToPath(new URL('../../../scripts', import.meta.url));
const NOBODY = 65_534;

/** A clone that its user may read and not write. */
function makeClone(t: TestContext): string {
  const clone = mkdtempSync(join(tmpdir(), 'groundwire-clone-'));
  t.after(() => {
    chmodSync(clone, 0o755);
    rmSync(clone, { recursive: true, force: true });
  });
  cpSync(SCRIPTS, join(clone, 'scripts'), { recursive: true });
  chmodSync(clone, 0o555);
  return clone;
}

/** Runs it as somebody who is not root. */
function withSetup(clone: string, ...args: string[]) {
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  return spawnSync(join(clone, 'scripts/with-setup'), args, { ...user, encoding: 'utf8', timeout: 60_000 });
}

test('with-setup: the tour and the benchmark say first that they need root, and touch nothing', (t) => {
  const clone = makeClone(t);
  for (const [purpose, hint] of [
    ['tour', 'run it as root (sudo npm start).\n'],
    ['bench', 'run it as root (sudo npm run bench).\n'],
  ] as const) {
    const { status, stderr } = withSetup(clone, '--for', purpose, 'true');
    assert.equal(status, 77, stderr);
    assert.ok(stderr.startsWith('setup: The ') && stderr.endsWith(hint) && stderr.split('\n').length === 2, stderr);
    assert.ok(!existsSync(join(clone, 'build')));
  }
});

test('with-setup: a clone that cannot be written is named, with what to do', (t) => {
  const clone = makeClone(t);
  const told = () => {
    const { status, stderr } = withSetup(clone, '--for', 'test', 'true');
    assert.equal(status, 69, stderr);
    assert.match(
      stderr,
      /^setup: \S+\/build\/setup cannot be written by \S+\.\nsetup: Run this command as root \(sudo\), or/,
    );
  };
  told();
  chmodSync(clone, 0o755);
  mkdirSync(join(clone, 'build/setup'), { recursive: true });
  chmodSync(join(clone, 'build/setup'), 0o555);
  told();
});
