// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpService } from '#src/api/config-dump.ts';
import { formatPorts } from '#src/commands/services.ts';

import { aService, aStore, aWorkload, port, serving } from '../mesh/mesh-fixtures.ts';

test('services: a named port shows the numbers that its endpoints have for it', () => {
  const service = aService('web', '10.96.0.9');
  const portsWith = (...targets: readonly number[]): string => {
    const workloads = targets.map((target, i) =>
      aWorkload(`w${i}`, `10.0.0.${i + 1}`, serving('web', [port(443, target)])),
    );
    const mesh = aStore({ services: [service], workloads });
    return formatPorts(JSON.parse(JSON.stringify(dumpService(service, mesh))) as Parameters<typeof formatPorts>[0]);
  };
  assert.equal(portsWith(), '80:8080,443:named');
  assert.equal(portsWith(8443, 8443), '80:8080,443:8443');
  assert.equal(portsWith(9443, 8443, 0), '80:8080,443:8443|9443');
});
