// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
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

/** From now on every write through an open file fails as on a full disk. */
async function fillDisk(t: TestContext) {
  const file = await open(import.meta.filename);
  await file.close();
  const error = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', errno: -constants.errno.ENOSPC });
  return t.mock.method(Object.getPrototypeOf(file), 'writeFile', () => Promise.reject(error));
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
  assert.match(readFileSync(path, 'utf8'), /^groundwire-config 1 /);
  appendFileSync(path, 'x');
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
  const full = await fillDisk(t);
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
  full.mock.restore();
  cache.record(AUTHORIZATION_TYPE, [received('n/c')], []);
  await cache.close();
  assert.equal(cache.counters.writes, 2, 'the next write goes through, with everything');
  assert.equal((await new ConfigCache({ path, clock: new ManualClock(), log }).load()).length, 3);
});
