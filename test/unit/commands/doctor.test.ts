// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderFeatures } from '#src/commands/doctor.ts';

const THERE = { present: true, required: true, detail: 'works', remedy: '' };
const ROOT = { present: false, required: true, detail: 'bpf: not permitted', remedy: 'run as root' };

test('doctor: a line a feature, whatever a library said on how many lines', () => {
  const said = ['open eBPF object:', '  libbpf: Error in probe', '', `  libbpf: ${'x'.repeat(300)}`].join('\n');
  const lines = renderFeatures([
    { name: 'maps', ...THERE },
    { name: 'steer', ...ROOT, detail: said },
  ]).split('\n');
  assert.match(
    lines[2] ?? '',
    /^MISSING +steer +open eBPF object: libbpf: Error in probe; libbpf: x+… \(all of it: -o/,
  );
  assert.ok((lines[2] ?? '').length < 220);
  assert.deepEqual(lines.slice(3), ['', 'steer: run as root', 'An agent cannot run here: steer missing.']);
});

test('doctor: a remedy that helps several features is told once, with their names', () => {
  const lines = renderFeatures([
    { name: 'maps', ...ROOT },
    { name: 'marks', ...ROOT },
    { name: 'bpffs', ...ROOT, remedy: 'name another' },
    { name: 'ipv6', ...ROOT, required: false, remedy: '' },
    { name: 'cgroups', ...THERE },
  ]).split('\n');
  assert.deepEqual(lines.slice(6), [
    '',
    'maps, marks: run as root',
    'bpffs: name another',
    'An agent cannot run here: maps, marks, bpffs missing.',
  ]);
});
