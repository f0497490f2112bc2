// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { VerdictLedger } from '#src/mesh/verdicts.ts';

test('VerdictLedger: a change invalidates each verdict that read it, once, and no other', () => {
  const ledger = new VerdictLedger();
  const a = ledger.record(1, ['x', 'y']).verdict;
  const b = ledger.record(1, ['y', 'z']).verdict;
  const c = ledger.record(1, ['z']).verdict;
  assert.deepEqual(ledger.invalidate(['x', 'y', 'unknown']), [a, b]);
  assert.deepEqual(ledger.invalidate(['x', 'y']), []);
  assert.deepEqual(ledger.invalidate(['z']), [c]);
  assert.equal(ledger.size, 0);
  assert.equal(ledger.invalidatedTotal, 3);
});

test('VerdictLedger: when full the oldest is given back to be forgotten', () => {
  const ledger = new VerdictLedger(2);
  const first = ledger.record(1, ['x']).verdict;
  ledger.record(1, ['x']);
  assert.equal(ledger.record(1, ['x']).evicted, first);
  assert.equal(ledger.invalidate(['x']).includes(first), false);
  assert.equal(ledger.evictedTotal, 1);
});

test('VerdictLedger: when full a pod with many destinations makes room, not one within its share', () => {
  const ledger = new VerdictLedger(10);
  const others = [ledger.record(1, ['x']).verdict, ledger.record(1, ['x']).verdict];
  const evicted = Array.from({ length: 100 }, () => ledger.record(2, ['x', 'y']).evicted).filter(
    (id) => id !== undefined,
  );
  assert.equal(evicted.length, 92);
  assert.equal(ledger.size, 10);
  // One that comes late gets its share from the pod that has most.
  for (let i = 0; i < 3; i++) ledger.record(3, ['z']);
  assert.deepEqual(new Set(ledger.invalidate(['x'])).size, 7);
  assert.ok(others.every((verdict) => !evicted.includes(verdict)));
  assert.equal(ledger.invalidate(['z']).length, 3);
  assert.equal(ledger.size, 0);
});

test('VerdictLedger: agrees with a list of all verdicts', () => {
  const keys = fc.uniqueArray(fc.constantFrom<string[]>('a', 'b', 'c', 'd'), { minLength: 1 });
  const step = fc.oneof(fc.record({ record: keys, pod: fc.nat(3) }), fc.record({ invalidate: keys }));
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const ledger = new VerdictLedger();
      let live: { verdict: bigint; dependencies: readonly string[] }[] = [];
      for (const each of steps) {
        if ('record' in each) {
          live.push({ verdict: ledger.record(each.pod, each.record).verdict, dependencies: each.record });
          continue;
        }
        const hit = live.filter(({ dependencies }) => dependencies.some((key) => each.invalidate.includes(key)));
        assert.deepEqual(new Set(ledger.invalidate(each.invalidate)), new Set(hit.map(({ verdict }) => verdict)));
        live = live.filter((entry) => !hit.includes(entry));
      }
      assert.equal(ledger.size, live.length);
    }),
  );
});
