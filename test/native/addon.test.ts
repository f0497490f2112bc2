// SPDX-License-Identifier: Apache-2.0
//
// The addon as hostile JavaScript would use it: wrong arguments, foreign handles, garbage instead of batches.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { type Addon, loadAddon } from '#src/engine/addon.ts';
import { KernelError, probeKernel } from '#src/engine/index.ts';
import { encodeEngineOptions } from '#src/engine/messages.gen.ts';
import { ERROR_TABLE } from '#src/model/errors.ts';
import { KERNEL_COUNTERS } from '#src/telemetry/engine-counters.ts';
import { ANY_OPTIONS, cannotRun, EngineFixture } from './engine-fixture.ts';

const addonPath = join(import.meta.dirname, '../../build/Release/groundwire.node');
const skip = cannotRun ?? false;
const threads = (): number => readdirSync('/proc/self/task').length;

test('addon: its codes and counters are those of the TypeScript side', () => {
  const layout = loadAddon().layout();
  const codes = Object.entries(ERROR_TABLE).map(([name, entry]) => [name, entry.number]);
  assert.deepEqual(layout.codes, Object.fromEntries(codes));
  assert.deepEqual(layout.counters, Object.keys(KERNEL_COUNTERS));
});

test('addon: what is linked in statically is neither taken from Node nor shown to it', () => {
  const names = (...options: string[]): string[] =>
    execFileSync('nm', ['-D', ...options, addonPath], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.slice(19));
  const ofLibraries = /^(nghttp2_|bpf_|btf_|libbpf_|inflate|deflate|crc32|gz[a-z]+$)/;
  assert.deepEqual(
    names('--defined-only').filter((name) => ofLibraries.test(name)),
    [],
  );
  assert.deepEqual(
    names('--undefined-only').filter((name) => ofLibraries.test(name)),
    [],
  );
});

test('addon: a value that is no handle is refused by every verb', () => {
  const addon = loadAddon();
  const foreign = [
    undefined,
    null,
    1,
    'handle',
    {},
    [],
    Symbol('x'),
    () => {},
    createRequire(import.meta.url)('node:crypto'),
  ];
  for (const value of foreign) {
    const handle = value as never;
    const verbs = [
      () => addon.apply(handle, 1n, new Uint8Array(4)),
      () => addon.answer(handle, new Uint8Array(4)),
      () => addon.subscribe(handle, () => {}),
      () => addon.readSnapshot(handle, 1),
      () => addon.close(handle),
    ];
    for (const verb of verbs) assert.throws(verb, TypeError);
  }
});

test('addon: bytes that are no options are an error, and nothing is opened', () => {
  const addon = loadAddon();
  const options = encodeEngineOptions(ANY_OPTIONS);
  for (const bytes of [new Uint8Array(), options.subarray(0, -1), Buffer.concat([options, Buffer.of(0)])]) {
    assert.throws(() => addon.open(bytes, KernelError), {
      code: 'ERR_ENGINE_OPEN',
      message: /not what the schema says/,
    });
  }
  assert.throws(() => addon.open(undefined as never, KernelError), TypeError);
  assert.throws(() => addon.open({} as never, KernelError), TypeError);
  assert.throws(() => addon.open(options, undefined as never), TypeError);
});

test('addon: garbage instead of a batch is an error, and the engine goes on', { skip }, () => {
  using fixture = new EngineFixture();
  const addon = loadAddon();
  const handle = addon.open(encodeEngineOptions(fixture.options()), KernelError);
  try {
    // A batch of no messages is the one text of four bytes that is not garbage.
    const garbage = fc.uint8Array({ maxLength: 300 }).filter((bytes) => !bytes.every((byte) => byte === 0));
    fc.assert(
      fc.property(garbage, (bytes) => {
        assert.throws(() => addon.apply(handle, 1n, bytes), { code: 'ERR_ENGINE_MESSAGE' });
        assert.throws(() => addon.answer(handle, bytes), { code: 'ERR_ENGINE_MESSAGE' });
      }),
    );
    assert.throws(() => addon.apply(handle, 1n, 'text' as never), TypeError);
    assert.throws(() => addon.apply(handle, 1n, new Uint16Array(4) as never), TypeError);
    assert.throws(() => addon.apply(handle, 1 as never, new Uint8Array(4)), TypeError);
    assert.throws(() => addon.apply(handle, 1n << 64n, new Uint8Array(4)), TypeError);
    assert.throws(() => addon.readSnapshot(handle, 'all' as never), TypeError);
    assert.ok(addon.readSnapshot(handle, 15).length >= 4);
  } finally {
    addon.close(handle);
  }
});

test('addon: a closed handle is refused by every verb, and closing it again is nothing', { skip }, () => {
  using fixture = new EngineFixture();
  const addon = loadAddon();
  const handle = addon.open(encodeEngineOptions(fixture.options()), KernelError);
  addon.close(handle);
  addon.close(handle);
  const verbs = [
    () => addon.apply(handle, 1n, new Uint8Array(4)),
    () => addon.answer(handle, new Uint8Array(4)),
    () => addon.subscribe(handle, () => {}),
    () => addon.readSnapshot(handle, 1),
  ];
  for (const verb of verbs) assert.throws(verb, { code: 'ERR_ENGINE_CLOSED' });
});

test("addon: loaded twice, both instances work and know each other's handles", { skip }, () => {
  using fixture = new EngineFixture();
  const require = createRequire(import.meta.url);
  const first = require(addonPath) as Addon;
  delete require.cache[addonPath];
  const second = require(addonPath) as Addon;
  assert.notEqual(first, second);
  const handle = first.open(encodeEngineOptions(fixture.options()), KernelError);
  const other = second.open(encodeEngineOptions(fixture.options()), KernelError);
  second.close(handle);
  assert.throws(() => first.readSnapshot(handle, 1), { code: 'ERR_ENGINE_CLOSED' });
  assert.ok(second.readSnapshot(other, 1).length >= 4);
  first.close(other);
});

test('addon: an engine that nobody holds any more ends its threads', { skip }, async () => {
  using fixture = new EngineFixture();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const before = threads();
  // In a function of its own, so that no variable of ours keeps the handle.
  (() => loadAddon().open(encodeEngineOptions(fixture.options()), KernelError))();
  assert.ok(threads() > before);
  for (let round = 0; round < 50 && threads() > before; round += 1) {
    collect();
    await sleep(10);
  }
  assert.equal(threads(), before);
});

test('addon: the probe answers a row a feature, each missing one with a remedy', () => {
  const nowhere = {
    podsCgroup: '/nonexistent/pods',
    agentCgroup: '/nonexistent/agent',
    bpfDirectory: '/nonexistent/bpf',
  };
  const features = probeKernel(nowhere);
  assert.ok(features.length > 0);
  assert.equal(new Set(features.map(({ name }) => name)).size, features.length);
  for (const feature of features) {
    assert.notEqual(feature.detail, '', feature.name);
    assert.equal(feature.remedy === '', feature.present, feature.name);
  }
  assert.throws(() => probeKernel({ ...nowhere, podsCgroup: 1 as never }), { code: 'ERR_ENGINE_MESSAGE' });
  assert.throws(() => loadAddon().probe(new Uint8Array()), TypeError);
  assert.throws(() => loadAddon().probe({} as never), TypeError);
});
