// SPDX-License-Identifier: Apache-2.0
//
// Applications that do not read, against a whole agent: what the node pays for them, and who waits.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { until } from '../../src/harness/shell.ts';
import type { PodShell } from '../../src/harness/two-node-mesh.ts';
import {
  namespaceManifest,
  PEER_PORTS,
  peer,
  type Server,
  TestMesh,
  untilServing,
  WITHOUT_ROOT,
} from '../helpers/test-mesh.ts';

const MEBIBYTE = 2 ** 20;
const KEPT_MEMORY = 64 * MEBIBYTE;
const CONNECTIONS = 300;

describe('memory of what waits for readers', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let victim: Server;
  let other: Server;

  before(async () => {
    test = await TestMesh.open(
      { 'namespace.yaml': namespaceManifest('shop', true) },
      { agentFlags: ['--keep-pods=false', '--kept-memory', '64Mi'] },
    );
    client = test.shell('a', 'shop', 'client');
    [victim, other] = await Promise.all([test.server('b', 'shop', 'victim'), test.server('b', 'shop', 'other')]);
    for (const server of [victim, other]) await untilServing(client, server.address);
  });
  after(() => test.close());

  const resident = (): number => {
    const status = readFileSync(`/proc/${test.mesh.agent('b').child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  };
  const counter = async (name: string): Promise<number> => {
    const { counters } = await test.mesh.ask<{ counters: Record<string, number> }>('b', 'status');
    return Number(counters[name]);
  };
  const upload = async (address: string): Promise<string> =>
    (await client.exec(peer('half-close', address, PEER_PORTS.count, 8_000_000).join(' '))).stdout.trim();

  it('is bounded whoever does not read, others go on, and it is given back', async () => {
    const before = resident();
    const flood = test.mesh.startPod(
      { node: 'a', namespace: 'shop', name: 'flood' },
      peer('flood', victim.address, PEER_PORTS.deaf, CONNECTIONS),
    );
    try {
      await until(
        'nothing moves any more',
        () => (flood.log().includes(`${CONNECTIONS} full`) ? true : undefined),
        60_000,
      );
      const kept = await counter('kept_bytes_live');
      assert.ok(kept > MEBIBYTE, `kept ${kept}`);
      assert.ok(kept <= KEPT_MEMORY / 2, `kept ${kept}`);
      assert.equal(await counter('kept_full'), 0);
      const grown = resident() - before;
      assert.ok(grown < KEPT_MEMORY, `the agent grew by ${grown}`);
      assert.equal(await upload(other.address), '8000000');
      assert.equal(await upload(victim.address), '8000000');
    } finally {
      await flood.stop();
    }
    await until('nothing is kept', async () => ((await counter('kept_bytes_live')) === 0 ? true : undefined));
    await until(
      'the agent is as small as before',
      () => (resident() - before < 24 * MEBIBYTE ? true : undefined),
      20_000,
    );
  });
});
