// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { JoinTokens, readTokenLife } from '#src/identity/join-token.ts';
import { TokenKeeper } from '#src/identity/token-keeper.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog, temporaryFolder } from '../discovery/loopback.ts';

const HOUR_MS = 3_600_000;

function makePlace(t: TestContext) {
  const folder = temporaryFolder(t);
  const clock = new ManualClock();
  const tokens = JoinTokens.open(folder, clock);
  const given = join(folder, 'a.token');
  writeFileSync(given, tokens.make('a', HOUR_MS));
  const { log, lines } = recordingLog();
  const open = (path = join(folder, 'a', 'renewed.token')) =>
    new TokenKeeper({
      readGiven: () => readFileSync(given, 'utf8'),
      path,
      scarceShare: 0.25,
      renewal: 'it comes',
      remedy: 'make one',
      clock,
      log,
    });
  return { folder, clock, tokens, given, lines, open, kept: join(folder, 'a', 'renewed.token') };
}

test('token keeper: a renewed token is used at once and after a restart, and kept from others', (t) => {
  const { clock, tokens, given, kept, open } = makePlace(t);
  const keeper = open();
  const first = readFileSync(given, 'utf8');
  assert.equal(keeper.current(), first);
  clock.advance(HOUR_MS / 2);
  const second = tokens.make('a', HOUR_MS);
  keeper.openLine()(second);
  assert.equal(keeper.current(), second);
  assert.equal(open().current(), second);
  assert.equal(statSync(kept).mode & 0o777, 0o600);
  assert.equal(readFileSync(given, 'utf8'), first, "what the operator gave is the operator's");
});

test('token keeper: another token from the operator ends the line of the last one', (t) => {
  const { tokens, given, open } = makePlace(t);
  const keeper = open();
  keeper.openLine()(tokens.make('a', 2 * HOUR_MS));
  const other = tokens.make('a', 3 * HOUR_MS);
  writeFileSync(given, other);
  assert.equal(keeper.current(), other);
  assert.equal(open().current(), other);
});

test('token keeper: what comes over a stream of the last token is not used in place of another one', (t) => {
  const { tokens, given, kept, open } = makePlace(t);
  const keeper = open();
  const take = keeper.openLine();
  const other = tokens.make('a', 30 * 24 * HOUR_MS);
  writeFileSync(given, other);
  assert.equal(take(tokens.make('a', 2 * HOUR_MS)), false);
  assert.deepEqual([keeper.current(), open().current()], [other, other]);
  assert.deepEqual([keeper.counters.renewed, keeper.counters.outdated, existsSync(kept)], [0, 1, false]);
});

test('token keeper: one that comes while the file is away is used when it is back', (t) => {
  const { tokens, given, open } = makePlace(t);
  const keeper = open();
  const take = keeper.openLine();
  renameSync(given, `${given}.away`);
  const second = tokens.make('a', 2 * HOUR_MS);
  assert.equal(take(second), true);
  renameSync(`${given}.away`, given);
  assert.deepEqual([keeper.current(), open().current()], [second, second]);
});

test('token keeper: one that cannot be kept is used all the same, and told', (t) => {
  const { folder, tokens, lines, open } = makePlace(t);
  writeFileSync(join(folder, 'file'), '');
  const keeper = open(join(folder, 'file', 'renewed.token'));
  const second = tokens.make('a', 2 * HOUR_MS);
  keeper.openLine()(second);
  assert.equal(keeper.current(), second);
  assert.equal(keeper.counters.notKept, 1);
  assert.match(lines.at(-1)?.message ?? '', /^join token not kept/);
});

test('token keeper: a kept one that is damaged, or that others can read, is told and left', (t) => {
  const { tokens, given, kept, lines, open } = makePlace(t);
  open().openLine()(tokens.make('a', 2 * HOUR_MS));
  chmodSync(kept, 0o644);
  assert.equal(open().current(), readFileSync(given, 'utf8'));
  assert.match(String(lines.at(-1)?.fields['reason']), /others than its owner/);
  chmodSync(kept, 0o600);
  writeFileSync(kept, '{"ofGiven":');
  assert.equal(open().current(), readFileSync(given, 'utf8'));
  assert.equal(lines.length, 2);
});

test('token keeper: with less than a quarter of its life left a token is a problem, until a newer one comes', (t) => {
  const { clock, tokens, open } = makePlace(t);
  const keeper = open();
  clock.advance(0.74 * HOUR_MS);
  assert.equal(keeper.problem(), undefined);
  clock.advance(0.02 * HOUR_MS);
  assert.match(
    keeper.problem() ?? '',
    /^the join token ends at \S+Z and no newer one has come: it comes; else make one$/,
  );
  clock.advance(HOUR_MS);
  assert.match(
    keeper.problem() ?? '',
    /^the join token ended at \S+Z, and nothing is signed for this node any more: make one$/,
  );
  keeper.openLine()(tokens.make('a', HOUR_MS));
  assert.equal(keeper.problem(), undefined);
});

test('token keeper: the end of a line is a problem from its last quarter on', (t) => {
  const { clock, tokens, given, open } = makePlace(t);
  const keeper = open();
  const take = keeper.openLine();
  const first = readTokenLife(readFileSync(given, 'utf8'));
  assert.ok(first !== undefined);
  let last = first;
  const renewFor = (untilMs: number) => {
    for (let left = 40; left > 0 && clock.nowMs() < untilMs; left -= 1) {
      const next = tokens.renew('a', last, 10 * HOUR_MS);
      assert.ok(next !== undefined && take(next.token));
      last = next.life;
      clock.advance(HOUR_MS / 4);
    }
  };
  renewFor(first.fromMs + 7.2 * HOUR_MS);
  assert.equal(keeper.problem(), undefined);
  renewFor(first.fromMs + 8 * HOUR_MS);
  const end = new Date(first.fromMs + 10 * HOUR_MS).toISOString();
  assert.equal(keeper.problem(), `the join token is renewed until ${end} and not beyond: make one`);
  clock.advance(HOUR_MS / 2 + 1);
  assert.match(keeper.problem() ?? '', /no newer one has come/, 'what ends first');
});

test('token keeper: a token that says nothing of its life is no problem of ours', (t) => {
  const { given, open } = makePlace(t);
  writeFileSync(given, 'e30.e30.c2ln');
  assert.equal(open().life(), undefined);
  assert.equal(open().problem(), undefined);
});
