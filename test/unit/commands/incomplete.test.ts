// SPDX-License-Identifier: Apache-2.0

// A clone in which something is not there yet: what is missing and what to run, instead of an error of the module loader.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** A clone with these packages of npm, and nothing built. */
function makeClone(t: TestContext, packages: readonly string[]): string {
  const clone = mkdtempSync(join(realpathSync(tmpdir()), 'groundwire-clone-'));
  t.after(() => rmSync(clone, { recursive: true, force: true }));
  for (const name of ['bin', 'src', 'package.json']) cpSync(join(ROOT, name), join(clone, name), { recursive: true });
  mkdirSync(join(clone, 'node_modules'));
  for (const name of packages) symlinkSync(join(ROOT, 'node_modules', name), join(clone, 'node_modules', name));
  return clone;
}

function groundwire(clone: string, ...args: string[]) {
  return spawnSync(join(clone, 'bin/groundwire'), args, { encoding: 'utf8', timeout: 60_000 });
}

const packages = readdirSync(join(ROOT, 'node_modules')).filter((name) => !name.startsWith('.'));
const nodes = packages.filter((name) => name.startsWith('node-linux-'));

test('without the npm packages: Node 24 is missing, and what installs it', (t) => {
  const clone = makeClone(t, []);
  const { status, stderr } = groundwire(clone, 'version');
  assert.equal(status, 71);
  assert.match(stderr, /Node 24 is missing in .*node_modules/);
  assert.ok(stderr.includes(`in ${clone}, run \`npm start\``) && stderr.includes('`npm run build`'), stderr);
});

test('with Node alone: the package that a command needs is named, and version needs none', (t) => {
  const clone = makeClone(t, nodes);
  const { status, stderr } = groundwire(clone, 'agent', '--help');
  assert.equal(status, 71);
  assert.match(stderr, /^groundwire: the npm package \S+ is not installed in .*; run `npm run build` in \S+\n$/);
  assert.equal(groundwire(clone, 'version').status, 0);
});

test('without a build: doctor names the file and what makes it', (t) => {
  const clone = makeClone(t, packages);
  const { status, stdout } = groundwire(clone, 'doctor', '-o', 'json');
  assert.equal(status, 1);
  const features = JSON.parse(stdout) as { name: string; detail: string; remedy: string }[];
  const engine = features.find(({ name }) => name === 'native engine');
  assert.match(engine?.detail ?? '', /groundwire\.node does not exist/);
  assert.match(engine?.remedy ?? '', /npm run build/);
});
