// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import type { StatusFacts } from '#src/api/facts.ts';
import { renderStatus } from '#src/commands/status.ts';

const status: StatusFacts = {
  node: {
    name: 'a',
    addresses: ['192.0.2.1'],
    distribution: 'Debian',
    kernel: '6.1',
    cpu: 'a processor',
    cores: 2,
    loadAverage1m: 0,
    memoryTotalBytes: 2,
    memoryAvailableBytes: 1,
    agentResidentBytes: 1,
  },
  version: { groundwire: '0.1.0', node: 'v24', openssl: '3.5' },
  startedTime: new Date(0).toISOString(),
  ready: true,
  pending: [],
  controlPlane: { address: '192.0.2.1:15012', state: 'connected', fromCache: false },
  mesh: { trustDomain: 'cluster.local', clusterId: 'c', workloads: 1, services: 1, policies: 0, rejectedTotal: 0 },
  pods: [],
  tunnels: [],
  connections: 0,
  counters: {},
  problems: [],
};

test('renderStatus: what a program was refused with a bare EPERM is named with its reason', () => {
  const counters = { connect_refused_device: 3, connect_refused_link_local: 0, connect_refused_family: 9 };
  const told = renderStatus({ ...status, counters }, 0);
  assert.match(told, /Refused or dropped by the kernel.*\n {2}- 3 connect_refused_device: .*SO_BINDTODEVICE/);
  assert.doesNotMatch(told, /link_local|family|guard/);
  assert.doesNotMatch(renderStatus(status, 0), /by the kernel/);
  assert.match(renderStatus({ ...status, counters: { guard_dropped_socket: 7 } }, 0), /- 7 guard_dropped_socket: /);
});
