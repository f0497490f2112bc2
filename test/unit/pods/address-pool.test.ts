// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { AddressPool } from '#src/pods/address-pool.ts';

test('AddressPool: one address of each range, without network and broadcast address', () => {
  const pool = new AddressPool(['10.1.2.0/29', 'fd00::/64']);
  const given = Array.from({ length: 6 }, () => pool.allocate());
  assert.deepEqual(given[0], ['10.1.2.1', 'fd00::1']);
  assert.deepEqual(given[5], ['10.1.2.6', 'fd00::6']);
  assert.throws(() => pool.allocate(), /10\.1\.2\.0\/29 is used up \(6 pods\)/);
});

test('AddressPool: an address that was given back comes last', () => {
  const pool = new AddressPool(['10.1.2.0/29']);
  const [first] = pool.allocate();
  pool.release([first as string]);
  const others = Array.from({ length: 5 }, () => pool.allocate()[0]);
  assert.ok(!others.includes(first));
  assert.deepEqual(pool.allocate(), [first]);
});

test('AddressPool: a refusal takes nothing of the other ranges', () => {
  const pool = new AddressPool(['10.1.0.0/24', '10.2.0.0/30']);
  pool.allocate();
  pool.allocate();
  assert.throws(() => pool.allocate(), /10\.2\.0\.0\/30/);
  pool.release(['10.1.0.2', '10.2.0.2']);
  assert.deepEqual(pool.allocate(), ['10.1.0.3', '10.2.0.2']);
});

test('AddressPool: addresses of a previous run are not given again, foreign ones are left alone', () => {
  const pool = new AddressPool(['10.1.2.0/30', 'fd00::/126']);
  pool.reserve(['10.1.2.1', 'fd00::1', '192.0.2.1', 'fd01::1']);
  assert.deepEqual(pool.allocate(), ['10.1.2.2', 'fd00::2']);
});

test('AddressPool: never gives an address twice, whatever the order of calls', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (calls) => {
      const pool = new AddressPool(['10.1.2.0/28']);
      const held: string[] = [];
      for (const allocates of calls) {
        if (allocates && held.length < 14) {
          const [address] = pool.allocate();
          assert.ok(!held.includes(address as string));
          held.push(address as string);
        } else if (held.length > 0) pool.release([held.shift() as string]);
      }
    }),
  );
});

test('AddressPool: a range without an address to give is refused', () => {
  for (const cidr of ['10.0.0.1/32', '10.0.0.0/31', 'nonsense'])
    assert.throws(() => new AddressPool([cidr]), new RegExp(cidr.replace('/', '\\/')));
});
