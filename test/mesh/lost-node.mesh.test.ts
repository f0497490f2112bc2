// SPDX-License-Identifier: Apache-2.0

// A node that is away for longer than its grace: its pods may live, so nobody may send to them in plaintext.

import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PacketCapture, segmentsWith } from '../../src/harness/packet-capture.ts';
import { until } from '../../src/harness/shell.ts';
import type { PodShell } from '../../src/harness/two-node-mesh.ts';
import {
  namespaceManifest,
  PEER_PORTS,
  type Server,
  TestMesh,
  untilServing,
  WITHOUT_ROOT,
} from '../helpers/test-mesh.ts';

describe('a node that stays away', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let far: Server;

  before(async () => {
    test = await TestMesh.open(
      { 'namespaces.yaml': namespaceManifest('shop', true) },
      { controlFlags: ['--node-grace', '1s'], agentFlags: ['--keep-pods=true'] },
    );
    client = test.shell('a', 'shop', 'client');
    far = await test.server('b', 'shop', 'far');
    await untilServing(client, far.address);
  });
  after(() => test.close());

  const statusOfFar = async () =>
    (await test.mesh.ask<{ name: string; status: string }[]>('a', 'workloads')).find(({ name }) => name === 'far')
      ?.status;

  it('fails closed: its pods are unhealthy, and dialled through the mesh or not at all, until it is back', async () => {
    assert.equal(await statusOfFar(), 'Healthy');
    const agent = test.mesh.agent('b');
    agent.child.kill('SIGKILL');
    await agent.ended;
    await until('its pods are lost', async () => ((await statusOfFar()) === 'Unhealthy' ? true : undefined));

    const capture = await PacketCapture.open(test.mesh.nodes.a, join(test.mesh.names.directory, 'lost.pcap'));
    const marker = 'nobody-may-read-this';
    const attempt = await client.exec(
      `printf ${marker} | timeout 3 curl -sS -m 2 --data-binary @- http://${far.address}:${PEER_PORTS.echo}/`,
      10_000,
    );
    const segments = await capture.close();
    assert.notEqual(attempt.code, 0);
    assert.equal(segmentsWith(segments, marker).length, 0);
    assert.deepEqual(
      segments.filter(({ destinationPort }) => destinationPort === PEER_PORTS.echo),
      [],
    );

    await test.mesh.startAgent('b');
    await untilServing(client, far.address);
    await until('it is found again', async () => ((await statusOfFar()) === 'Healthy' ? true : undefined));
  });

  it('an agent that cannot read the file of a pod does not start, and costs no pod', async () => {
    const agent = test.mesh.agent('b');
    agent.child.kill('SIGKILL');
    await agent.ended;
    // What a read of a directory throws stands for whatever the system may say.
    const inTheWay = join('/run/groundwire', test.mesh.nodes.b.name, 'pods', 'unreadable.json');
    mkdirSync(inTheWay);
    try {
      const failed = await test.mesh.launchAgent('b');
      await failed.ended;
      assert.match(failed.log(), /--run-dir \S+\/unreadable\.json cannot be read: .*; see what is in the way/);
    } finally {
      rmdirSync(inTheWay);
    }
    await test.mesh.startAgent('b');
    await untilServing(client, far.address);
  });

  it('an agent with another run directory than its pods were started with does not start, and costs no pod', async () => {
    const agent = test.mesh.agent('b');
    agent.child.kill('SIGKILL');
    await agent.ended;
    const failed = await test.mesh.launchAgent('b', ['--run-dir', join(test.mesh.names.directory, 'other-run')]);
    await failed.ended;
    assert.match(
      failed.log(),
      /--run-dir \S+\/other-run cannot be used: .*\(shop\/far\b.*; start .*GROUNDWIRE_RUN_DIR/,
    );
    await test.mesh.startAgent('b');
    assert.equal(far.process.child.exitCode, null, 'its pods live');
    await untilServing(client, far.address);
  });
});
