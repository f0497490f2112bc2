// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';

const root = join(import.meta.dirname, '../../..');
const BUNDLE = 'build/bundle/groundwire.mjs';

/** A folder laid out as a clone or an image, with these files in it. */
function layOut(t: TestContext, files: Readonly<Record<string, string>>): string {
  const place = mkdtempSync(join(tmpdir(), 'groundwire-bundle-'));
  t.after(() => rmSync(place, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(place, path)), { recursive: true });
    writeFileSync(join(place, path), text);
  }
  mkdirSync(join(place, 'bin'), { recursive: true });
  copyFileSync(join(root, 'bin/groundwire'), join(place, 'bin/groundwire'));
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'));
  return place;
}

function groundwire(place: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(place, 'bin/groundwire'), args, {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout: stdout.trim(), stderr };
}

test('bundle: npm run build makes it, newer than every source', () => {
  // This test was started by the same set-up.
  const { stdout } = spawnSync('find', ['src', 'package-lock.json', '-newer', BUNDLE], { cwd: root, encoding: 'utf8' });
  assert.equal(stdout, '', 'a source is newer than the bundle: npm run build');
  assert.ok(existsSync(join(root, 'build/bundle/main.mjs.map')));
  assert.ok(existsSync(join(root, 'build/bundle/compiled')), 'what V8 compiled is kept');
});

test('bundle: bin/groundwire runs it while it is fresh, and in an image without sources', (t) => {
  const files = {
    [BUNDLE]: "console.log('bundle')",
    'src/main.ts': "console.log('sources')",
    'package-lock.json': '{}',
  };
  const clone = layOut(t, files);
  const age = (path: string, seconds: number) => utimesSync(join(clone, path), seconds, seconds);
  for (const path of ['src/main.ts', 'src', 'package-lock.json']) age(path, 1000);
  assert.equal(groundwire(clone).stdout, 'bundle');
  for (const path of ['src/main.ts', 'src', 'package-lock.json']) {
    age(path, Date.now() / 1000 + 60);
    assert.equal(groundwire(clone).stdout, 'sources', path);
    age(path, 1000);
  }
  rmSync(join(clone, BUNDLE));
  assert.equal(groundwire(clone).stdout, 'sources');
  assert.equal(groundwire(layOut(t, { [BUNDLE]: "console.log('bundle')" })).stdout, 'bundle');
});

/** What the Dockerfile copies from its build, laid out as in the image. */
function layOutImage(t: TestContext): string {
  const image = mkdtempSync(join(tmpdir(), 'groundwire-image-'));
  t.after(() => rmSync(image, { recursive: true, force: true }));
  const dockerfile = readFileSync(join(root, 'daemonset/Dockerfile'), 'utf8');
  const copies = [...dockerfile.matchAll(/^COPY --from=build \/opt\/groundwire\/(\S+) \/opt\/groundwire\/(\S+)$/gm)];
  assert.ok(copies.length > 0);
  for (const [, from = '', to = ''] of copies) {
    for (const found of globSync(from, { cwd: root })) cpSync(join(root, found), join(image, to), { recursive: true });
  }
  return image;
}

test('bundle: in an image every command starts from it, without a source or an npm package', (t) => {
  const image = layOutImage(t);
  assert.deepEqual(readdirSync(image).sort(), ['bin', 'build', 'node_modules', 'package.json']);
  assert.deepEqual(readdirSync(join(image, 'build')).sort(), ['Release', 'bpf', 'bundle']);
  assert.match(groundwire(image, 'version').stdout, /^groundwire \d+\.\d+\.\d+ \(Node 24\./);
  const commands = [...groundwire(image, '--help').stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}/gm)];
  assert.ok(commands.length > 10);
  for (const [, command = ''] of commands) {
    const { status, stdout, stderr } = groundwire(image, ...command.split(' '), '--help');
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^Usage: groundwire ${command}`, 'm'));
  }
});

test('bundle: the trace of a bug names the sources, and without its map still the functions', (t) => {
  // No package.json, which is a bug of whoever laid the files out.
  const image = layOut(t, {});
  cpSync(join(root, 'build/bundle'), join(image, 'build/bundle'), { recursive: true });
  const line =
    readFileSync(join(root, 'src/config/version.ts'), 'utf8')
      .split('\n')
      .findIndex((text) => text.includes('readFileSync(')) + 1;
  const told = groundwire(image, 'version');
  assert.equal(told.status, 70);
  assert.match(
    told.stderr,
    new RegExp(`this is a bug: .*\\n(?:.*\\n)*.*readVersion \\(src/config/version\\.ts:${line}:\\d+\\)`),
  );
  for (const map of globSync('build/bundle/*.map', { cwd: image })) rmSync(join(image, map));
  assert.match(groundwire(image, 'version').stderr, /readVersion \(.*\/build\/bundle\/[\w-]+\.mjs:\d+:\d+\)/);
});
