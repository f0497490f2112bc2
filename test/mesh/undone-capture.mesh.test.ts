// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '../../src/harness/shell.ts';
import { namespaceManifest, type Server, TestMesh, untilServing, WITHOUT_ROOT } from '../helpers/test-mesh.ts';

interface Status {
  readonly problems: readonly string[];
  readonly counters: Readonly<Record<string, number>>;
}

describe('a capture that somebody in the pod undoes', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let server: Server;

  before(async () => {
    test = await TestMesh.open({ 'inside.yaml': namespaceManifest('inside', true) });
    server = await test.server('b', 'inside', 'server');
  });
  after(() => test.close());

  it('is put back, and told in the status, a counter and the log', async () => {
    const shell = test.shell('a', 'inside', 'client');
    await untilServing(shell, server.address);
    const { code, stderr } = await shell.exec('ip rule del pref 472 && ip -6 rule del pref 476');
    assert.equal(code, 0, stderr);
    const problem = /^capture of inside\/client was undone from outside the agent and put back \d+ s ago: rule 47[26]/;
    const status = await until('the status tells', async () => {
      const asked = await test.mesh.ask<Status>('a', 'status');
      return asked.problems.some((one) => problem.test(one)) ? asked : undefined;
    });
    assert.ok((status.counters['capture_repaired'] ?? 0) >= 1);
    assert.match(test.mesh.agent('a').log(), /something that capture needs had been undone and was put back/);
    await untilServing(shell, server.address);
  });
});
