// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressAllocator } from '#src/compile/service-addresses.ts';
import {
  loopbackHostPort,
  parseBytes,
  parseCidr,
  parseDurationMs,
  parseHostPort,
  rangePerFamily,
} from '#src/config/parse.ts';
import { suggest } from '#src/config/suggest.ts';
import { AddressPool } from '#src/pods/address-pool.ts';

test('parseDurationMs: table', () => {
  for (const [text, ms] of [
    ['250ms', 250],
    ['5s', 5000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    ['0s', 0],
  ] as const) {
    assert.deepEqual(parseDurationMs(text), { value: ms }, text);
  }
  for (const text of ['', '5', '5 s', '-5s', '5x', 's', '1e3s', 'Infinitys'])
    assert.ok('reason' in parseDurationMs(text), text);
});

test('parseBytes: table', () => {
  for (const [text, bytes] of [
    ['512B', 512],
    ['64Ki', 65_536],
    ['16Mi', 16_777_216],
  ] as const) {
    assert.deepEqual(parseBytes(text), { value: bytes }, text);
  }
  for (const text of ['64', '64kb', '64K', 'Ki']) assert.ok('reason' in parseBytes(text), text);
});

test('parseHostPort: IPv6 needs brackets', () => {
  assert.deepEqual(parseHostPort('[fd00::1]:15012'), { value: { host: 'fd00::1', port: 15_012 } });
  assert.deepEqual(parseHostPort('istiod.istio-system.svc:15012'), {
    value: { host: 'istiod.istio-system.svc', port: 15_012 },
  });
  for (const text of ['fd00::1:15012', 'host', 'host:', 'host:99999', '[x]:1', ':1'])
    assert.ok('reason' in parseHostPort(text), text);
});

test('loopbackHostPort: an address that others can reach is refused, with what to do', () => {
  for (const text of ['127.0.0.1:15000', '127.9.0.1:1', '[::1]:15000', 'localhost:15000'])
    assert.ok('value' in loopbackHostPort().parse([text]), text);
  for (const text of ['0.0.0.0:15000', '[::]:15000', '192.0.2.1:15000', 'node.example:15000', '127.example:15000']) {
    const parsed = loopbackHostPort().parse([text]);
    assert.ok('reason' in parsed, text);
    assert.match(parsed.reason, /not on a loopback address.*name a port of 127\.0\.0\.1/, text);
  }
});

test('parseCidr: canonical text without host bits', () => {
  assert.deepEqual(parseCidr('10.244.1.7/24'), { value: '10.244.1.0/24' });
  assert.deepEqual(parseCidr('FD00:0::/64'), { value: 'fd00::/64' });
  for (const text of ['10.0.0.1', '10.0.0.0/33', 'x/8', '']) assert.ok('reason' in parseCidr(text), text);
});

test('rangePerFamily: what is accepted gives addresses, one of a family', () => {
  for (const text of ['', '10.0.0.0/30', 'fd00::/127', '10.0.0.0/8,fd00::/48']) {
    const parsed = rangePerFamily().parse([text]);
    assert.ok('value' in parsed, text);
    if (parsed.value.length > 0) assert.equal(new AddressPool(parsed.value).allocate().length, parsed.value.length);
  }
  for (const [text, reason] of [
    ['10.0.0.0/31', /no address to give; its length is to be 30 at most/],
    ['10.0.0.1/32', /no address to give; its length is to be 30 at most/],
    ['fd00::1/128', /no address to give; its length is to be 127 at most/],
    ['10.0.0.0/24,fd00::1/128', /holds "fd00::1\/128", which has no address to give/],
    ['10.0.0.0/24,10.1.0.0/24', /has 2 ranges of IPv4; give one of them/],
    ['fd00::/64,10.1.0.0/24,fd01::/64', /has 2 ranges of IPv6; give one of them/],
    ['10.0.0.1', /is not ADDRESS\/LENGTH/],
  ] as const) {
    const parsed = rangePerFamily().parse([text]);
    assert.ok('reason' in parsed, text);
    assert.match(parsed.reason, reason, text);
  }
});

test('rangePerFamily: what is accepted gives addresses to Services, too', () => {
  for (const text of ['10.96.0.0/16', '10.96.0.0/30', '0.0.0.0/0', 'fd96::/112', 'fd96::/127', 'fd00::/8']) {
    const parsed = rangePerFamily().parse([text]);
    assert.ok('value' in parsed, text);
    assert.ok(new AddressAllocator(parsed.value[0] ?? '', new Set()).allocate('shop/web') !== undefined, text);
  }
});

test('parsers: never throw, whatever the text', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseDurationMs, parseBytes, parseHostPort, parseCidr]) parse(text);
    }),
  );
});

test('suggest: the nearest word, or none when nothing is near', () => {
  assert.equal(suggest('manifest', ['manifests', 'listen', 'node']), 'manifests');
  assert.equal(suggest('zzzzzz', ['manifests', 'listen', 'node']), undefined);
});
