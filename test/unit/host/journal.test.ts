// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { Journal, JournalDamaged } from '#src/host/journal.ts';
import { until } from '../../helpers/until.ts';
import { temporaryFolder } from '../discovery/loopback.ts';

const FORMAT = 'test 1';

function open(t: TestContext, path = join(temporaryFolder(t), 'table'), durable = true) {
  const table = new Map<string, unknown>();
  const journal = new Journal<unknown>({ path, format: FORMAT, durable });
  t.after(() => journal.close());
  const write = (changes: readonly (readonly [string, unknown])[]): void => {
    for (const [key, value] of changes) {
      if (value === undefined) table.delete(key);
      else table.set(key, value);
    }
    journal.append(changes, () => table);
  };
  const readAgain = () => new Journal<unknown>({ path, format: FORMAT, durable }).read();
  return { path, table, journal, write, readAgain };
}

test('Journal: what is read is what was written, whatever changes came', (t) => {
  const change = fc.tuple(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.option(fc.jsonValue(), { nil: undefined }));
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 8 }), (steps) => {
      const { path, table, write, readAgain } = open(t);
      for (const step of steps) write(step);
      const expected = [...table].map(([key, value]) => [key, JSON.parse(JSON.stringify(value))] as const);
      assert.deepEqual(readAgain() ?? new Map(), new Map(expected));
      rmSync(path, { force: true });
    }),
    { numRuns: 30 },
  );
});

test('Journal: there is no file until something is written, and it is its owner’s alone', (t) => {
  const { path, write, readAgain } = open(t);
  assert.equal(readAgain(), undefined);
  write([['a', 1]]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('Journal: a change is one line at the end', (t) => {
  const { path, write } = open(t);
  write(Array.from({ length: 100 }, (_, i) => [`key-${i}`, 'x'.repeat(100)]));
  const before = readFileSync(path, 'utf8');
  write([['key-50', 'y']]);
  const after = readFileSync(path, 'utf8');
  assert.ok(after.startsWith(before));
  assert.match(after.slice(before.length), /^[0-9a-f]{16} \["key-50","y"\]\n$/);
});

test('Journal: a line that a crash has cut short counts as not written, and nothing is added behind it', (t) => {
  const { path, write, readAgain } = open(t);
  write([['a', 1]]);
  write([['b', 2]]);
  truncateSync(path, statSync(path).size - 4);
  assert.deepEqual([...(readAgain() ?? [])], [['a', 1]]);
  const later = open(t, path);
  later.table.set('a', 1);
  later.journal.read();
  later.write([['c', 3]]);
  assert.deepEqual(
    [...(readAgain() ?? [])],
    [
      ['a', 1],
      ['c', 3],
    ],
  );
});

test('Journal: fails closed: what is not as it was written, but at the end, is refused', (t) => {
  const { path, write, readAgain } = open(t);
  write([['a', 1]]);
  write([['b', 2]]);
  const text = readFileSync(path, 'utf8');
  for (const damaged of [text.replace('"a",1', '"a",2'), text.replace(FORMAT, 'test 0'), ` ${text}`]) {
    writeFileSync(path, damaged);
    assert.throws(readAgain, JournalDamaged);
  }
  appendFileSync(path, 'x\n');
  writeFileSync(path, text);
  assert.equal(readAgain()?.size, 2);
});

test('Journal: after a write that failed the next one writes all that there is', (t) => {
  const { path, table, write, readAgain } = open(t);
  write([['a', 1]]);
  rmSync(path);
  mkdirSync(path);
  assert.throws(() => write([['b', 2]]), /EISDIR/);
  rmSync(path, { recursive: true });
  write([['c', 3]]);
  assert.deepEqual(readAgain(), table);
});

test('Journal: is written anew once there is more added than needed, with what changes meanwhile', async (t) => {
  const { path, table, journal, write, readAgain } = open(t, undefined, false);
  const value = 'x'.repeat(1000);
  write(Array.from({ length: 300 }, (_, i) => [`key-${i}`, value]));
  const whole = statSync(path).size;
  const { ino } = statSync(path);
  for (let i = 0; i < 1000; i += 1) write([[`key-${i % 300}`, `${value}${i}`]]);
  assert.ok(statSync(path).size > 4 * whole);
  // What came meanwhile may be too much again.
  await until('it is small again', () => {
    write([['late', value]]);
    return statSync(path).ino !== ino && statSync(path).size < 2 * whole;
  });
  await journal.close();
  assert.deepEqual(readAgain(), table);
});
