// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { NodeRanges } from '#src/cluster/node-ranges.ts';

test('NodeRanges: each node has its own part, and the same one after a restart', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const ranges = NodeRanges.open(['10.244.0.0/16', 'fd00:1::/48'], path);
  assert.deepEqual(ranges.rangesOf('a'), ['10.244.0.0/24', 'fd00:1::/64']);
  assert.deepEqual(ranges.rangesOf('b'), ['10.244.1.0/24', 'fd00:1:0:1::/64']);
  const later = NodeRanges.open(['10.244.0.0/16', 'fd00:1::/48'], path);
  assert.deepEqual(later.rangesOf('b'), ['10.244.1.0/24', 'fd00:1:0:1::/64']);
  assert.deepEqual(later.rangesOf('c'), ['10.244.2.0/24', 'fd00:1:0:2::/64']);
});

test('NodeRanges: says so when the cluster is full, and gives nothing', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const ranges = NodeRanges.open(['10.244.0.0/23'], join(directory, 'nodes.json'));
  ranges.rangesOf('a');
  ranges.rangesOf('b');
  assert.throws(() => ranges.rangesOf('c'), /10\.244\.0\.0\/23 has no part left/);
});

test('NodeRanges: a damaged file is not taken for an empty one', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  writeFileSync(path, '{"a":');
  assert.throws(() => NodeRanges.open(['10.0.0.0/8'], path), /nodes\.json is damaged/);
});

test('NodeRanges: a number that could not be written down is not given', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const ranges = NodeRanges.open(['10.244.0.0/16'], path);
  mkdirSync(path);
  assert.throws(() => ranges.rangesOf('a'));
  assert.throws(() => ranges.rangesOf('a'), 'and not from memory either');
  rmSync(path, { recursive: true });
  assert.deepEqual(ranges.rangesOf('b'), ['10.244.0.0/24']);
});
