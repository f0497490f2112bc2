// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionShares, type Seat, type ShareLimits } from '#src/host/connection-shares.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

function door(limits: Partial<ShareLimits>) {
  const clock = new ManualClock();
  const counters = { displaced: 0, turnedAway: 0 };
  const shares = new ConnectionShares({ max: 100, perAddressMax: 100, graceMs: 0, ...limits }, counters, clock);
  const ended: string[] = [];
  const admit = (address: string, name: string): Seat | undefined => shares.admit(address, () => ended.push(name));
  return { clock, counters, shares, ended, admit };
}

test('shares: an address that has all it may have displaces its own that has waited the longest', () => {
  const { admit, ended, counters, shares } = door({ perAddressMax: 2 });
  admit('a', 'a1')?.serve();
  const second = admit('a', 'a2');
  admit('b', 'b1');
  assert.ok(admit('a', 'a3'));
  assert.deepEqual(ended, ['a2']);
  second?.leave();
  assert.deepEqual([shares.size, counters], [3, { displaced: 1, turnedAway: 0 }]);
});

test('shares: a connection that has been answered is the last in the order again', () => {
  const { admit, ended } = door({ perAddressMax: 2 });
  const first = admit('a', 'a1');
  admit('a', 'a2');
  first?.serve();
  first?.rest();
  admit('a', 'a3');
  assert.deepEqual(ended, ['a2']);
});

test('shares: who would displace one that is served is turned away', () => {
  const { admit, ended, counters, shares } = door({ perAddressMax: 1 });
  admit('a', 'a1')?.serve();
  assert.equal(admit('a', 'a2'), undefined);
  assert.deepEqual([ended, shares.size, counters], [[], 1, { displaced: 0, turnedAway: 1 }]);
});

test('shares: within the grace nobody makes room for another of the same address', () => {
  const { admit, ended, clock } = door({ perAddressMax: 1, graceMs: 1000 });
  admit('a', 'a1');
  clock.advance(999);
  assert.equal(admit('a', 'a2'), undefined);
  clock.advance(1);
  assert.ok(admit('a', 'a3'));
  assert.deepEqual(ended, ['a1']);
});

test('shares: a full door takes from the address that has the most, also what is served or has just come', () => {
  const { admit, ended, shares } = door({ max: 3, graceMs: 1000 });
  admit('greedy', 'g1')?.serve();
  admit('greedy', 'g2')?.serve();
  admit('greedy', 'g3');
  assert.ok(admit('a', 'a1'));
  assert.ok(admit('b', 'b1'));
  assert.deepEqual([ended, shares.size], [['g3', 'g1'], 3]);
});

test('shares: who has the most itself finds no room in a full door', () => {
  const { admit, ended, counters } = door({ max: 3 });
  admit('a', 'a1');
  admit('greedy', 'g1')?.serve();
  admit('greedy', 'g2')?.serve();
  assert.equal(admit('greedy', 'g3'), undefined);
  assert.deepEqual([ended, counters.turnedAway], [[], 1]);
});

test('shares: who leaves makes room, and leaves once', () => {
  const { admit, shares, counters } = door({ max: 1, perAddressMax: 1 });
  const first = admit('a', 'a1');
  first?.leave();
  first?.leave();
  assert.equal(shares.size, 0);
  assert.ok(admit('a', 'a2'));
  first?.rest();
  first?.leave();
  assert.deepEqual([shares.size, counters.displaced], [1, 0]);
});
