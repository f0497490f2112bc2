// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { listManifests, readManifest } from '#src/manifests/directory-listing.ts';
import { DirectorySource } from '#src/manifests/directory-source.ts';
import { ManifestsMissing } from '#src/manifests/manifests-missing.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { systemClock } from '#src/model/clock.ts';
import { ObjectStore } from '#src/objects/object-store.ts';

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

test('DirectorySource: only what does not exist is absent: what cannot be looked at keeps what it said', async (t) => {
  const { directory, store, source, names } = await open(t, { 'a.yaml': namespace('a') });
  await mkdir(join(directory, 'sub'));
  await writeFile(join(directory, 'sub', 'b.yaml'), namespace('b'));
  await source.rescan();
  // ELOOP, which also root meets.
  await unlink(join(directory, 'a.yaml'));
  await symlink('a.yaml', join(directory, 'a.yaml'));
  await rename(join(directory, 'sub'), join(directory, '.sub'));
  await symlink('sub', join(directory, 'sub'));
  await source.rescan();
  assert.deepEqual(names(), ['a', 'b']);
  assert.deepEqual(
    store.problems().map(({ file, reason }) => [file, /stays in force: ELOOP/.test(reason)]),
    [
      ['a.yaml', true],
      ['sub', true],
    ],
  );
  await unlink(join(directory, 'a.yaml'));
  await unlink(join(directory, 'sub'));
  await source.rescan();
  assert.deepEqual([names(), store.problems()], [[], []]);
});

test('DirectorySource: what is no file and has the name of a manifest is named, at once, and waits for nobody', async (t) => {
  const { directory, store, source, names } = await open(t, {
    'a.yaml': namespace('a'),
    'good.yaml': namespace('good'),
  });
  let told = 0;
  store.watch(() => {
    told += 1;
  });
  await unlink(join(directory, 'a.yaml'));
  await symlink('nowhere.yaml', join(directory, 'a.yaml'));
  await mkdir(join(directory, 'b.yaml'));
  await writeFile(join(directory, 'b.yaml', 'inside.yaml'), namespace('inside'));
  assert.equal(spawnSync('mkfifo', [join(directory, 'c.json')]).status, 0);
  const server = createServer();
  t.after(() => server.close());
  await new Promise<void>((done) => server.listen(join(directory, 'd.yml'), done));
  await source.rescan();
  assert.deepEqual(names(), ['a', 'good'], 'what it said stays, and nobody else is held up');
  assert.deepEqual(
    store.problems().map(({ file, standing, reason }) => `${file} ${standing}: ${reason.split('; ')[0]}`),
    [
      'a.yaml last-good: cannot be read, so what it said last stays in force: is a symbolic link to nowhere.yaml, which does not exist',
      'b.yaml nothing: cannot be read: is a directory, not a file',
      'c.json nothing: cannot be read: is a named pipe, not a file',
      'd.yml nothing: cannot be read: is a socket, not a file',
    ],
  );
  assert.equal(told, 1);
  await assert.rejects(readManifest(join(directory, 'c.json')), /not a file any more/);
  for (const name of ['a.yaml', 'c.json', 'd.yml']) await unlink(join(directory, name));
  await rename(join(directory, 'b.yaml'), join(directory, 'b'));
  await source.rescan();
  assert.deepEqual([names(), store.problems()], [['good', 'inside'], []]);
});

test('DirectorySource: a file between truncate and write, or between unlink and create, is not taken as empty', async (t) => {
  const { directory, store, source, names } = await open(t, { 'a.yaml': namespace('a') });
  const seen: string[] = [];
  store.watch(() => seen.push(names().join()));
  for (const step of ['truncate', 'unlink']) {
    if (step === 'truncate') await writeFile(join(directory, 'a.yaml'), '');
    else await unlink(join(directory, 'a.yaml'));
    const scan = source.rescan();
    await new Promise((done) => setTimeout(done, 25));
    await writeFile(join(directory, 'a.yaml'), `${namespace('a')}# ${step}\n`);
    await scan;
    assert.deepEqual(names(), ['a']);
  }
  assert.deepEqual(seen, ['a', 'a']);
});

test('DirectorySource: a file that is emptied keeps its objects and is named; a comment or a deletion takes them away', async (t) => {
  const { directory, store, source, names } = await open(t, { 'a.yaml': namespace('a'), 'b.yaml': namespace('b') });
  // Long ago, so that nobody can be in the middle of writing it.
  const write = async (file: string, text: string): Promise<void> => {
    await writeFile(join(directory, file), text);
    await utimes(join(directory, file), 1, 1);
    await source.rescan();
  };
  for (const blank of ['', ' \n\n', '']) {
    await write('a.yaml', blank);
    assert.deepEqual(names(), ['a', 'b'], JSON.stringify(blank));
    assert.deepEqual(
      store
        .problems()
        .map(({ file, standing, reason }) => [file, standing, /^is empty, .* stays in force; delete it/.test(reason)]),
      [['a.yaml', 'last-good', true]],
    );
  }
  // A control plane that starts now knows from its predecessor what the file had.
  const restarted = new ObjectStore(['directory']);
  const next = new DirectorySource({ directory, source: 'directory' }, restarted, systemClock);
  t.after(() => next.close());
  await next.open([parseManifest('a.yaml', namespace('a')), parseManifest('b.yaml', namespace('b'))]);
  assert.equal(restarted.snapshot().of('Namespace').length, 2);
  assert.equal(restarted.problems().length, 1);
  await write('a.yaml', '# nothing here for now\n');
  assert.deepEqual([names(), store.problems()], [['b'], []]);
  await write('a.yaml', '');
  assert.deepEqual(store.problems(), [], 'it had nothing to lose');
  await write('b.yaml', '');
  assert.deepEqual(names(), ['b']);
  await unlink(join(directory, 'b.yaml'));
  await source.rescan();
  assert.deepEqual([names(), store.problems()], [[], []]);
});

test('DirectorySource: a file that never holds still keeps what it said, is told, and holds up no other', async (t) => {
  const { directory, store, source, names } = await open(t, { 'a.yaml': namespace('a') });
  const heard: boolean[] = [];
  store.watch(() => heard.push(store.problems().length > 0));
  // Written at once, so that there is a new text between any two looks, however slow the machine.
  let count = 0;
  const writer = setInterval(() => {
    count += 1;
    // And in one step: of a file that is found truncated nobody says that it changes.
    writeFileSync(join(directory, '.a.yaml'), `${namespace('x')}# ${count}\n`);
    renameSync(join(directory, '.a.yaml'), join(directory, 'a.yaml'));
  }, 5);
  try {
    await writeFile(join(directory, 'b.yaml'), namespace('b'));
    await source.rescan();
    assert.deepEqual(names(), ['a', 'b']);
    assert.match(store.problems()[0]?.reason ?? '', /changes all the time/);
    await source.rescan();
    assert.match(store.problems()[0]?.reason ?? '', /changes all the time/);
  } finally {
    clearInterval(writer);
  }
  await source.rescan();
  assert.deepEqual([names(), store.problems()], [['b', 'x'], []]);
  // Whoever reads the log is told once that it began and once that it ended.
  assert.deepEqual(heard, [false, true, false]);
});

test('DirectorySource: starts from what an earlier run left, also without its directory, and not from nothing', async (t) => {
  const { directory } = await open(t, {});
  const start = async (path: string, restored: string[]) => {
    const store = new ObjectStore(['directory']);
    const source = new DirectorySource({ directory: path, source: 'directory' }, store, systemClock);
    t.after(() => source.close());
    await source.open(restored.map((name) => parseManifest(`${name}.yaml`, namespace(name))));
    return store;
  };
  const missing = join(directory, 'missing');
  await assert.rejects(
    start(missing, []),
    (error) => error instanceof ManifestsMissing && /ENOENT/.test(error.message),
  );
  // Missing, and empty as a mount point without its mount is.
  for (const path of [missing, directory]) {
    const store = await start(path, ['a']);
    assert.equal(store.snapshot().of('Namespace').length, 1);
    assert.match(store.problems()[0]?.reason ?? '', /what was read last stays in force/);
  }
  await writeFile(join(directory, 'a.yaml'), 'a: [');
  const broken = await start(directory, ['a', 'b']);
  assert.deepEqual(
    broken
      .snapshot()
      .of('Namespace')
      .map(({ meta }) => meta.name),
    ['a'],
    'a broken file keeps what it said, a removed one is gone',
  );
});

test('listManifests: a directory that is not one of manifests is refused, with the bound and a place', async (t) => {
  const { directory } = await open(t, { 'a.yaml': namespace('a'), 'b.txt': '' });
  await mkdir(join(directory, 'c'));
  await writeFile(join(directory, 'c', 'd.yaml'), namespace('d'));
  const place = (path: string) => `(the first beyond that is ${join(directory, path)})`;
  const advice = 'keep manifests in a directory of their own';
  await assert.rejects(listManifests(directory, undefined, { manifests: 10, entries: 3 }), {
    message: `there are more than 3 files and directories ${place('c/d.yaml')}; ${advice}`,
  });
  await assert.rejects(listManifests(directory, undefined, { manifests: 1, entries: 10 }), {
    message: `there are more than 1 manifests ${place('c/d.yaml')}; ${advice}`,
  });
  assert.equal((await listManifests(directory, undefined, { manifests: 2, entries: 4 })).files.length, 2);
});

test('DirectorySource: a start ends as soon as it is asked to, whatever there is still to read', async (t) => {
  const { directory } = await open(t, {});
  for (let index = 0; index < 100; index += 1) await writeFile(join(directory, `${index}.yaml`), '\n');
  for (const restored of [[], [parseManifest('kept.yaml', namespace('kept'))]]) {
    const store = new ObjectStore(['directory']);
    const source = new DirectorySource({ directory, source: 'directory' }, store, systemClock);
    t.after(() => source.close());
    const asked = new AbortController();
    // By a turn of the loop, as a signal comes.
    setImmediate(() => asked.abort());
    await assert.rejects(source.open(restored, asked.signal), (error) => error === asked.signal.reason);
    assert.equal(store.snapshot().of('Namespace').length, restored.length, 'nothing has been taken');
  }
  // Nor is everything parsed first: of a blank file the store is asked whether it had anything.
  class AskedStore extends ObjectStore {
    asked = 0;
    readonly end = new AbortController();
    override hasInForce(): boolean {
      this.asked += 1;
      setImmediate(() => this.end.abort());
      return false;
    }
  }
  const store = new AskedStore(['directory']);
  const source = new DirectorySource({ directory, source: 'directory' }, store, systemClock);
  t.after(() => source.close());
  await assert.rejects(source.open([], store.end.signal), (error) => error === store.end.signal.reason);
  assert.ok(store.asked < 10, `${store.asked} files were parsed`);
});
