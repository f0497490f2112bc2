// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { DirectorySource } from '#src/manifests/directory-source.ts';
import { ObjectStore } from '#src/manifests/object-store.ts';
import { systemClock } from '#src/model/clock.ts';

const namespace = (name: string): string => `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}}\n`;

interface Setup {
  readonly directory: string;
  readonly store: ObjectStore;
  readonly source: DirectorySource;
  readonly names: () => string[];
  /** Waits until the store has these namespaces; real time only bounds the wait. */
  readonly until: (...names: string[]) => Promise<void>;
}

async function open(t: TestContext, files: Record<string, string>): Promise<Setup> {
  const directory = await mkdtemp(join(tmpdir(), 'groundwire-manifests-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const store = new ObjectStore(['directory']);
  const source = new DirectorySource({ directory, source: 'directory', rescanMs: 200 }, store, systemClock);
  t.after(async () => {
    source.close();
    await rm(directory, { recursive: true, force: true });
  });
  await source.open();
  const names = (): string[] =>
    store
      .snapshot()
      .of('Namespace')
      .map(({ meta }) => meta.name);
  const until = async (...wanted: string[]): Promise<void> => {
    const deadline = Date.now() + 5_000;
    while (names().join() !== wanted.join() && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10));
    assert.deepEqual(names(), wanted);
  };
  return { directory, store, source, names, until };
}

test('DirectorySource: follows new, changed, atomically renamed and removed files', async (t) => {
  const { directory, names, until } = await open(t, {
    'a.yaml': namespace('a'),
    'notes.txt': 'x',
    '.a.yaml.swp': 'a: [',
  });
  assert.deepEqual(names(), ['a']);
  await writeFile(join(directory, 'b.yml'), namespace('b'));
  await until('a', 'b');
  await writeFile(join(directory, '.tmp'), namespace('c'));
  await rename(join(directory, '.tmp'), join(directory, 'b.yml'));
  await until('a', 'c');
  await mkdir(join(directory, 'sub'));
  await writeFile(
    join(directory, 'sub', 'd.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'd' } }),
  );
  await until('a', 'c', 'd');
  await unlink(join(directory, 'a.yaml'));
  await until('c', 'd');
});

test('DirectorySource: follows the symlink swap of a mounted ConfigMap', async (t) => {
  const { directory, until } = await open(t, {});
  for (const version of ['1', '2']) {
    await mkdir(join(directory, `..${version}`));
    await writeFile(join(directory, `..${version}`, 'x.yaml'), namespace(`v${version}`));
  }
  await symlink('..1', join(directory, '..data'));
  await symlink('..data/x.yaml', join(directory, 'x.yaml'));
  await until('v1');
  await symlink('..2', join(directory, '..data_tmp'));
  await rename(join(directory, '..data_tmp'), join(directory, '..data'));
  await until('v2');
});

test('DirectorySource: loses nothing when the directory vanishes, and finds it again', async (t) => {
  const { directory, store, source, names, until } = await open(t, { 'a.yaml': namespace('a') });
  await rename(directory, `${directory}-gone`);
  t.after(() => rm(`${directory}-gone`, { recursive: true, force: true }));
  await source.rescan();
  assert.deepEqual(names(), ['a']);
  assert.match(store.problems()[0]?.reason ?? '', /stays in force/);
  await mkdir(directory);
  await writeFile(join(directory, 'b.yaml'), namespace('b'));
  await until('b');
  assert.deepEqual(store.problems(), []);
});

test('DirectorySource: reports the problems of all files together and keeps what was good', async (t) => {
  const { directory, store, source, names } = await open(t, { 'a.yaml': namespace('a'), 'b.yaml': namespace('b') });
  await writeFile(join(directory, 'a.yaml'), 'a: [');
  await writeFile(join(directory, 'b.yaml'), namespace('B!'));
  await source.rescan();
  assert.deepEqual(names(), ['a', 'b']);
  assert.deepEqual([...new Set(store.problems().map(({ file }) => file))], ['a.yaml', 'b.yaml']);
});
