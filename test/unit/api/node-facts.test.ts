// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { NodeFactsReader, readDistribution } from '#src/api/node-facts.ts';

test('node facts: they are what the kernel says', () => {
  const facts = new NodeFactsReader('a', ['192.0.2.1']).read();
  assert.deepEqual([facts.name, facts.addresses], ['a', ['192.0.2.1']]);
  assert.equal(facts.kernel, readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
  assert.equal(facts.cores, readFileSync('/proc/cpuinfo', 'utf8').match(/^processor\s*:/gm)?.length);
  const memory = readFileSync('/proc/meminfo', 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(memory)?.[1]) * 1024;
  assert.equal(facts.memoryTotalBytes, bytes('MemTotal'));
  const available = bytes('MemAvailable');
  assert.ok(Math.abs(facts.memoryAvailableBytes - available) < available / 4, 'available, not free');
  assert.ok(facts.agentResidentBytes > 0);
});

test('node facts: a machine without /etc/os-release has no distribution', () => {
  assert.match(readDistribution(), /^\S/);
  assert.equal(readDistribution('/nowhere/os-release'), '');
});
