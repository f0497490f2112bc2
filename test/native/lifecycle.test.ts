// SPDX-License-Identifier: Apache-2.0
//
// How an engine ends with what holds it: the process, in each of the ways a process ends, and a Worker.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { EngineOptions } from '#src/engine/index.ts';
import { NativeEngine } from '#src/engine/index.ts';
import { cannotRun, EngineFixture } from './engine-fixture.ts';

const skip = cannotRun ?? false;
const holder = join(import.meta.dirname, 'engine-holder.ts');

async function runHolder(how: string, options: EngineOptions): Promise<{ code: number | null; signal: string | null }> {
  const child = spawn(process.execPath, [holder, how, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  clearTimeout(late);
  return { code, signal };
}

test('lifecycle: a process whose engine was closed ends by itself', { skip }, async () => {
  using fixture = new EngineFixture();
  assert.deepEqual(await runHolder('close', fixture.options()), { code: 0, signal: null });
});

test('lifecycle: process.exit ends an open engine without a crash', { skip }, async () => {
  using fixture = new EngineFixture();
  assert.deepEqual(await runHolder('exit', fixture.options()), { code: 7, signal: null });
});

test('lifecycle: an exception that nobody caught ends an open engine without a crash', { skip }, async () => {
  using fixture = new EngineFixture();
  assert.deepEqual(await runHolder('throw-quietly', fixture.options()), { code: 3, signal: null });
});

test('lifecycle: an exception of an event listener is one that nobody caught', { skip }, async () => {
  using fixture = new EngineFixture();
  assert.deepEqual(await runHolder('throw-in-listener', fixture.options()), { code: 4, signal: null });
});

test('lifecycle: after a holder was killed another takes over the same pins', { skip }, async () => {
  using fixture = new EngineFixture();
  const options = fixture.options();
  assert.deepEqual(await runHolder('kill', options), { code: null, signal: 'SIGKILL' });
  assert.deepEqual(await runHolder('close', options), { code: 0, signal: null });
});

test('lifecycle: a Worker opens its own engine beside ours, and its end closes it', { skip }, async () => {
  using fixture = new EngineFixture();
  const engine = NativeEngine.open(fixture.options());
  try {
    const threads = (): number => readdirSync('/proc/self/task').length;
    const before = threads();
    for (const how of ['close', 'stay']) {
      const worker = new Worker(holder, { argv: [how, JSON.stringify(fixture.options())] });
      const [message] = (await once(worker, 'message')) as [string];
      assert.equal(message, 'open');
      if (how === 'stay') await worker.terminate();
      else await once(worker, 'exit');
      assert.equal(threads(), before, how);
    }
    await engine.apply([{ kind: 'SetPeers', peers: [] }]);
  } finally {
    await engine.close();
  }
});
