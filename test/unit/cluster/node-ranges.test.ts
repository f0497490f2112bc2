// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { NodeRanges } from '#src/cluster/node-ranges.ts';
import { RestoreError } from '#src/cluster/restore-error.ts';
import type { Log } from '#src/model/log.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

test('NodeRanges: each node has its own part, and the same one after a restart', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const ranges = NodeRanges.open(['10.244.0.0/16', 'fd00:1::/48'], path, SILENT);
  assert.deepEqual(ranges.rangesOf('a'), ['10.244.0.0/24', 'fd00:1::/64']);
  assert.deepEqual(ranges.rangesOf('b'), ['10.244.1.0/24', 'fd00:1:0:1::/64']);
  const later = NodeRanges.open(['10.244.0.0/16', 'fd00:1::/48'], path, SILENT);
  assert.deepEqual(later.rangesOf('b'), ['10.244.1.0/24', 'fd00:1:0:1::/64']);
  assert.deepEqual(later.rangesOf('c'), ['10.244.2.0/24', 'fd00:1:0:2::/64']);
});

test('NodeRanges: says so when the cluster is full, and gives nothing', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const ranges = NodeRanges.open(['10.244.0.0/23'], join(directory, 'nodes.json'), SILENT);
  ranges.rangesOf('a');
  ranges.rangesOf('b');
  assert.throws(() => ranges.rangesOf('c'), /10\.244\.0\.0\/23 has no part left/);
});

test('NodeRanges: a damaged file is not taken for an empty one', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  for (const text of ['{"a":', '{"a":0}', 'groundwire-nodes 1 0\n{"next":0,"nodes":[]}']) {
    writeFileSync(path, text);
    assert.throws(() => NodeRanges.open(['10.0.0.0/8'], path, SILENT), /nodes\.json is damaged/, text);
  }
  rmSync(path);
  mkdirSync(path);
  assert.throws(() => NodeRanges.open(['10.0.0.0/8'], path, SILENT), RestoreError, 'nor is one that cannot be read');
});

test('NodeRanges: a number that could not be written down is not given', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const ranges = NodeRanges.open(['10.244.0.0/16'], path, SILENT);
  mkdirSync(path);
  assert.throws(() => ranges.rangesOf('a'));
  assert.throws(() => ranges.rangesOf('a'), 'and not from memory either');
  rmSync(path, { recursive: true });
  assert.deepEqual(ranges.rangesOf('b'), ['10.244.0.0/24']);
});

test('NodeRanges: the part of a node that was forgotten is given again, last, over a restart', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const ranges = NodeRanges.open(['10.244.0.0/22'], path, SILENT);
  for (const node of ['a', 'b']) ranges.rangesOf(node);
  ranges.forget('b');
  ranges.forget('unknown');
  const later = NodeRanges.open(['10.244.0.0/22'], path, SILENT);
  assert.deepEqual(later.rangesOf('c'), ['10.244.2.0/24'], 'the one of b may be in use still');
  assert.deepEqual(later.rangesOf('d'), ['10.244.3.0/24']);
  assert.deepEqual(later.rangesOf('b'), ['10.244.1.0/24']);
  assert.throws(() => later.rangesOf('e'), /10\.244\.0\.0\/22 has no part left, 4 nodes have them all/);
  later.forget('a');
  assert.deepEqual(later.rangesOf('e'), ['10.244.0.0/24']);
});

test('NodeRanges: more node names than there are parts, in time, are no trouble', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const ranges = NodeRanges.open(['10.244.0.0/22', 'fd00::/48'], join(directory, 'nodes.json'), SILENT);
  for (let i = 0; i < 20; i += 1) {
    ranges.rangesOf(`node-${i}`);
    ranges.forget(`node-${i}`);
  }
  assert.deepEqual([...ranges.nodes()], []);
});

test('NodeRanges: since when a node is lost outlives a restart, until it is back', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const open = () => NodeRanges.open(['10.244.0.0/16'], path, SILENT);
  const ranges = open();
  for (const node of ['a', 'b']) ranges.rangesOf(node);
  ranges.lose('a', 1234);
  ranges.lose('unknown', 1234);
  const later = open();
  assert.deepEqual(
    [...later.nodes()],
    [
      ['a', 1234],
      ['b', undefined],
    ],
  );
  assert.deepEqual(later.rangesOf('a'), ['10.244.0.0/24']);
  assert.deepEqual(
    [...open().nodes()],
    [
      ['a', undefined],
      ['b', undefined],
    ],
  );
});

test('NodeRanges: a disk that is full costs no node its part, and nobody the number of another', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'nodes.json');
  const ranges = NodeRanges.open(['10.244.0.0/16'], path, SILENT);
  for (const node of ['a', 'b']) ranges.rangesOf(node);
  rmSync(path);
  mkdirSync(path);
  ranges.lose('a', 1234);
  assert.deepEqual(ranges.rangesOf('a'), ['10.244.0.0/24']);
  ranges.forget('b');
  assert.throws(() => ranges.rangesOf('c'));
  rmSync(path, { recursive: true });
  assert.deepEqual(ranges.rangesOf('c'), ['10.244.2.0/24']);
});
