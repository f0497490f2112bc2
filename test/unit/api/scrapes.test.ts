// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Scrapes } from '#src/api/scrapes.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

const HERE = new AbortController().signal;

/** Metrics that say how often they were rendered, each time for `tookMs`. */
function metrics(tookMs = 0) {
  const clock = new ManualClock();
  const renderings = { begun: 0, hold: Promise.resolve() };
  const scrapes = new Scrapes(async () => {
    renderings.begun += 1;
    const text = new TextEncoder().encode(`${renderings.begun}`);
    await renderings.hold;
    clock.advance(tookMs);
    return { text, type: 'text/plain' };
  }, clock);
  const scrape = async (gone = HERE): Promise<string> => new TextDecoder().decode((await scrapes.ask(gone)).text);
  return { clock, renderings, scrapes, scrape };
}

test('scrapes: all who ask at one moment get one rendering', async () => {
  const { clock, renderings, scrapes, scrape } = metrics();
  const answers = Promise.all([scrape(), scrape(), scrape()]);
  clock.advance(0);
  assert.deepEqual(await answers, ['1', '1', '1']);
  assert.equal(renderings.begun, 1);
  assert.deepEqual(scrapes.counters, { rendered: 1, shared: 2, abandoned: 0 });
});

test('scrapes: who comes while one is rendered gets the next, never one that is older than the question', async () => {
  const { clock, renderings, scrape } = metrics();
  const { promise, resolve } = Promise.withResolvers<void>();
  renderings.hold = promise;
  const first = scrape();
  clock.advance(0);
  const second = scrape();
  resolve();
  assert.equal(await first, '1');
  await turn();
  clock.advance(50);
  assert.equal(await second, '2');
});

test('scrapes: a rendering is followed by a rest of ten times its length, a second at the most', async () => {
  for (const [tookMs, restMs] of [
    [0, 50],
    [20, 200],
    [400, 1000],
  ] as const) {
    const { clock, renderings, scrape } = metrics(tookMs);
    const first = scrape();
    clock.advance(0);
    await first;
    await turn();
    const second = scrape();
    clock.advance(restMs - 1);
    await turn();
    assert.equal(renderings.begun, 1, `${tookMs}`);
    clock.advance(1);
    assert.equal(await second, '2', `${tookMs}`);
  }
});

test('scrapes: for who has gone nothing is rendered', async () => {
  const { clock, renderings, scrapes, scrape } = metrics();
  const one = new AbortController();
  const two = new AbortController();
  const answers = [scrape(one.signal), scrape(two.signal)].map((answer) =>
    assert.rejects(answer, { name: 'AbortError' }),
  );
  one.abort();
  two.abort();
  await Promise.all(answers);
  clock.advance(10_000);
  assert.deepEqual([renderings.begun, scrapes.counters.abandoned, clock.timers], [0, 2, 0]);
  const third = scrape();
  clock.advance(0);
  assert.equal(await third, '1');
});

test('scrapes: a rendering that fails is told to all who asked, and the next is tried', async () => {
  const clock = new ManualClock();
  let isBroken = true;
  const scrapes = new Scrapes(
    () => (isBroken ? Promise.reject(new Error('broken')) : Promise.resolve({ text: new Uint8Array(), type: '' })),
    clock,
  );
  const failed = assert.rejects(scrapes.ask(HERE), /broken/);
  clock.advance(0);
  await failed;
  await turn();
  isBroken = false;
  const next = scrapes.ask(HERE);
  clock.advance(50);
  assert.equal((await next).type, '');
});
