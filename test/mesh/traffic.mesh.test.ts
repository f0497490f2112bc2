// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
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

interface ConnectionRow {
  readonly pod: string;
  readonly direction: string;
  readonly hop: string;
  readonly originalDst: string;
  readonly sourceIdentity: string;
  readonly destinationIdentity: string;
}

describe('traffic of captured pods', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let far: Server;
  let near: Server;
  let nearTunnel: Server;

  before(async () => {
    test = await TestMesh.open({
      'namespaces.yaml': [namespaceManifest('shop', true), namespaceManifest('plain', false)].join('---\n'),
    });
    client = test.shell('a', 'shop', 'client');
    [far, near, nearTunnel] = await Promise.all([
      test.server('b', 'shop', 'far'),
      test.server('a', 'shop', 'near'),
      test.server('a', 'shop', 'near-tunnel', { 'groundwire.io/same-node-mode': 'tunnel' }),
    ]);
    for (const server of [far, near, nearTunnel]) await untilServing(client, server.address);
  });
  after(() => test.close());

  const run = async (...args: (string | number)[]) => (await client.exec(peer(...args).join(' '))).stdout.trim();

  /** Holds a connection open and returns what the client's agent says of it. */
  async function rowOf(address: string): Promise<ConnectionRow> {
    const holder = test.mesh.startPod(
      { node: 'a', namespace: 'shop', name: `holder-${address.replace(/[^0-9]/g, '-')}` },
      peer('hold', address, PEER_PORTS.echo),
    );
    try {
      await until('the connection is open', () => (holder.log().includes('open') ? true : undefined));
      return await until('the agent lists it', async () => {
        const rows = await test.mesh.ask<ConnectionRow[]>('a', 'connections');
        return rows.find(
          (row) => row.direction === 'outbound' && row.originalDst.includes(address) && row.pod.includes('holder'),
        );
      });
    } finally {
      await holder.stop();
    }
  }

  it('goes through a tunnel to another node, with both identities', async () => {
    const row = await rowOf(far.address);
    assert.equal(row.hop, 'hbone');
    assert.match(row.destinationIdentity, /\/ns\/shop\/sa\/far$/);
    assert.match(row.sourceIdentity, /\/ns\/shop\/sa\/default$/);
  });

  it('is handed over on the same node', async () => {
    assert.equal((await rowOf(near.address)).hop, 'handoff');
  });

  it('goes through a tunnel on the same node where the destination asks for it', async () => {
    assert.equal((await rowOf(nearTunnel.address)).hop, 'hbone');
  });

  for (const [where, node, server] of [
    ['across nodes', 'b', () => far],
    ['on the same node', 'a', () => near],
    ['through a tunnel on the same node', 'a', () => nearTunnel],
  ] as const) {
    it(`shows the server the client's address ${where}`, async () => {
      const [address] = await client.addresses();
      assert.equal((await run('ask', server().address, PEER_PORTS.caller)).split(' ')[0], address);
    });

    it(`carries a half-close and the answer that follows it ${where}`, async () => {
      assert.equal(await run('half-close', server().address, PEER_PORTS.count, 3_000_000), '3000000');
    });

    it(`carries the server's reset ${where}`, async () => {
      assert.equal(await run('await-end', server().address, PEER_PORTS.reset), 'ECONNRESET');
    });

    it(`carries the client's reset ${where}`, async () => {
      const resets = () => server().process.log().split('ended: ECONNRESET').length;
      const begun = resets();
      assert.equal(await run('reset', server().address, PEER_PORTS.echo), 'reset');
      await until('the server sees the reset', () => (resets() > begun ? true : undefined), 5000);
    });

    it(`carries IPv6 ${where}`, async () => {
      const [, address6] = await client.addresses();
      assert.equal((await run('ask', server().address6, PEER_PORTS.caller)).split(' ')[0], address6);
    });

    it(`carries what a program sent before its pod ended ${where}`, async () => {
      const heard = () => server().process.log().split('late: 200000 end').length;
      const before = heard();
      const pod = { node: 'a', namespace: 'shop', name: `sender-${server().address.replace(/[^0-9]/g, '-')}` } as const;
      test.mesh.startPod(pod, peer('send', server().address, PEER_PORTS.late, 200_000));
      await until('the server has all of it', () => (heard() > before ? true : undefined), 10_000);
      const line = await test.untilLogged('a', `addr=${server().address}:${PEER_PORTS.late}`, 'direction=outbound');
      assert.match(line, /bytes_sent=200000 /);
      assert.doesNotMatch(line, /error/);
    });

    it(`ends a connection to a closed port ${where}, and says so in the access log`, async () => {
      const answer = await client.exec(peer('await-end', server().address, 9).join(' '));
      assert.match(answer.stdout, /ECONNRESET|ECONNREFUSED/);
      await test.untilLogged(node, 'error.code=CONNECT_REFUSED', `addr=${server().address}:9 `);
    });
  }

  it('passes a destination outside the mesh through', async () => {
    const plain = await test.server('b', 'plain', 'plain');
    await untilServing(client, plain.address);
    assert.equal((await rowOf(plain.address)).hop, 'passthrough');
  });

  it('serves a plaintext client of outside, by default', async () => {
    const stranger = test.shell('a', 'plain', 'stranger');
    const answer = await stranger.exec(peer('ask', far.address, PEER_PORTS.caller).join(' '));
    const [address] = await stranger.addresses();
    assert.equal(answer.stdout.split(' ')[0], address);
  });
});
