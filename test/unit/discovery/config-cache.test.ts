// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs, { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ConfigCache } from '#src/discovery/config-cache.ts';
import { AUTHORIZATION_TYPE } from '#src/discovery/resource.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog, temporaryFolder } from './loopback.ts';

function received(name: string, version = '1') {
  return { type: AUTHORIZATION_TYPE, name, version, bytes: Uint8Array.of(1, 2, 3) } as const;
}

/** From now on nothing more can be written; returns how that ends. */
function fillDisk(t: TestContext): () => void {
  const error = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', errno: -constants.errno.ENOSPC });
  const full = t.mock.method(fs, 'writeFileSync', () => {
    throw error;
  });
  syncBuiltinESMExports();
  return () => {
    full.mock.restore();
    syncBuiltinESMExports();
  };
}

test('config cache: gives the next run what was accepted, without what was removed', async (t) => {
  const path = join(temporaryFolder(t), 'state', 'config');
  const clock = new ManualClock();
  const { log } = recordingLog();
  const cache = new ConfigCache({ path, clock, log });
  assert.deepEqual(await cache.load(), []);
  cache.record(AUTHORIZATION_TYPE, [received('n/a'), received('n/b')], []);
  cache.record(AUTHORIZATION_TYPE, [received('n/a', '2')], ['n/b']);
  assert.equal(clock.timers, 1, 'changes of one moment are one write');
  clock.advance(1_000);
  await cache.close();
  assert.equal(cache.counters.writes, 1);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const next = new ConfigCache({ path, clock, log });
  const [only, ...rest] = await next.load();
  assert.deepEqual(rest, []);
  assert.deepEqual({ ...only, bytes: [...(only?.bytes ?? [])] }, { ...received('n/a', '2'), bytes: [1, 2, 3] });
});

test('config cache: a damaged file counts as none, and says so', async (t) => {
  const path = join(temporaryFolder(t), 'config');
  const { log, lines } = recordingLog();
  const cache = new ConfigCache({ path, clock: new ManualClock(), log });
  cache.record(AUTHORIZATION_TYPE, [received('n/a')], []);
  await cache.close();
  const text = readFileSync(path, 'utf8');
  assert.match(text, /^groundwire-config 2\n/);
  writeFileSync(path, text.replace('groundwire-config 2', 'groundwire-config 3'));
  const next = new ConfigCache({ path, clock: new ManualClock(), log });
  assert.deepEqual(await next.load(), []);
  assert.equal(next.counters.unreadable, 1);
  assert.match(String(lines.at(-1)?.fields['reason']), /damaged/);
});

test('config cache: a full disk costs the new copy only, and is counted', async (t) => {
  const path = join(temporaryFolder(t), 'config');
  const { log, lines } = recordingLog();
  const cache = new ConfigCache({ path, clock: new ManualClock(), log });
  cache.record(AUTHORIZATION_TYPE, [received('n/a')], []);
  await cache.close();
  const before = readFileSync(path, 'utf8');
  const makeRoom = fillDisk(t);
  cache.record(AUTHORIZATION_TYPE, [received('n/b')], []);
  await cache.close();
  assert.deepEqual([cache.counters.writes, cache.counters.writeFailures], [1, 1]);
  assert.match(lines.at(-1)?.message ?? '', /not written: a start without/);
  assert.match(
    String(lines.at(-1)?.fields['reason']),
    /--state-dir .* cannot be written to: no space left on device; free space on that disk/,
  );
  assert.equal(readFileSync(path, 'utf8'), before);
  assert.deepEqual(readdirSync(dirname(path)), ['config'], 'and nothing lies beside it');
  makeRoom();
  cache.record(AUTHORIZATION_TYPE, [received('n/c')], []);
  await cache.close();
  assert.equal(cache.counters.writes, 2, 'the next write goes through, with everything');
  assert.equal((await new ConfigCache({ path, clock: new ManualClock(), log }).load()).length, 3);
});

test('config cache: what a version before this one kept is still good', async (t) => {
  const path = join(temporaryFolder(t), 'config');
  const { log } = recordingLog();
  const { bytes, ...resource } = received('n/a');
  const line = JSON.stringify({ ...resource, bytes: Buffer.from(bytes).toString('base64') });
  writeFileSync(path, `groundwire-config 1 ${createHash('sha256').update(line).digest('hex')}\n${line}`);
  const cache = new ConfigCache({ path, clock: new ManualClock(), log });
  assert.deepEqual(
    (await cache.load()).map(({ name, version }) => [name, version]),
    [['n/a', resource.version]],
  );
  cache.record(AUTHORIZATION_TYPE, [received('n/b')], []);
  await cache.close();
  assert.equal((await new ConfigCache({ path, clock: new ManualClock(), log }).load()).length, 2);
});
