// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import test from 'node:test';
import fc from 'fast-check';
import { addressBytes, formatAddress, isRange, parseAddress, parseAddressRange } from '#src/model/address.ts';

test('parseAddress: one host has one text', () => {
  const table: [string, string | undefined][] = [
    ['10.0.0.1', '10.0.0.1'],
    ['010.0.0.1', undefined],
    ['10.0.0', undefined],
    ['', undefined],
    ['::', '::'],
    ['::1', '::1'],
    ['FD77:0001::0010', 'fd77:1::10'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::ffff:a01:203', '10.1.2.3'],
    ['fe80::1%eth0', undefined],
    ['1::2::3', undefined],
  ];
  for (const [text, canonical] of table) assert.equal(parseAddress(text), canonical, text);
});

test('parseAddressRange: host bits are cleared, lengths are bounded', () => {
  const table: [string, string | undefined][] = [
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.2.3/16', '10.1.0.0/16'],
    ['10.1.2.3/0', '0.0.0.0/0'],
    ['10.1.2.3/33', undefined],
    ['10.1.2.3/-1', undefined],
    ['10.1.2.3/', undefined],
    ['10.1.2.3/08', undefined],
    ['fd77::1', 'fd77::1/128'],
    ['fd77:1:2:3::1/48', 'fd77:1:2::/48'],
    ['fd77::/129', undefined],
    ['::ffff:10.1.2.3/112', '10.1.0.0/16'],
    ['::ffff:10.1.2.3/16', undefined],
  ];
  for (const [text, canonical] of table) {
    const range = parseAddressRange(text);
    assert.equal(range && `${range.address}/${range.prefixLength}`, canonical, text);
  }
});

test('address: bytes and text are inverse for every address', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(fc.constantFrom(0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((a) => Uint8Array.from(a)),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      const text = formatAddress(input);
      assert.notEqual(isIP(text), 0);
      assert.equal(parseAddress(text), text);
      assert.equal(formatAddress(addressBytes(text)), text);
    }),
  );
});

test('isRange: a prefix that is shorter than the address, and no other', () => {
  const table: [string, number | undefined, boolean][] = [
    ['10.0.0.0', undefined, false],
    ['10.0.0.0', 31, true],
    ['10.0.0.0', 32, false],
    ['0.0.0.0', 0, true],
    ['fd77::', undefined, false],
    ['fd77::', 32, true],
    ['fd77::', 127, true],
    ['fd77::', 128, false],
  ];
  for (const [address, prefixLength, expected] of table) {
    const shown = `${address}/${prefixLength}`;
    assert.equal(
      isRange({ network: '', address, ...(prefixLength !== undefined && { prefixLength }) }),
      expected,
      shown,
    );
  }
});
