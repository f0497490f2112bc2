// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { hboneSegments, PacketCapture, segmentsWith } from '../../src/harness/packet-capture.ts';
import { must, run, until } from '../../src/harness/shell.ts';
import { GROUNDWIRE, type PodShell } from '../../src/harness/two-node-mesh.ts';
import type { KernelFeature } from '../../src/model/messages.gen.ts';
import {
  namespaceManifest,
  PEER_PORTS,
  peer,
  type Server,
  TestMesh,
  untilServing,
  WITHOUT_ROOT,
} from '../helpers/test-mesh.ts';

describe('outages', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let far: Server;

  before(async () => {
    // Pods outlive their agent here: that is what these tests are about.
    test = await TestMesh.open(
      { 'namespaces.yaml': namespaceManifest('shop', true) },
      { agentFlags: ['--keep-pods=true'] },
    );
    client = test.shell('a', 'shop', 'client');
    far = await test.server('b', 'shop', 'far');
    await untilServing(client, far.address);
  });
  after(() => test.close());

  const ask = (from = client) => from.exec(peer('ask', far.address, PEER_PORTS.caller).join(' '), 40_000);
  const isServed = async (from = client) => /^[0-9.]+ /.test((await ask(from)).stdout);

  it('fails closed: with the agent killed nothing leaves the pod in plaintext, and the next agent takes the pod over', async () => {
    const agent = test.mesh.agent('a');
    agent.child.kill('SIGKILL');
    await agent.ended;
    const capture = await PacketCapture.open(test.mesh.nodes.a, join(test.mesh.names.directory, 'killed.pcap'));
    const marker = 'nobody-may-read-this';
    const attempt = await client.exec(
      `printf ${marker} | timeout 3 curl -sS -m 2 --data-binary @- http://${far.address}:${PEER_PORTS.echo}/`,
      10_000,
    );
    assert.notEqual(attempt.code, 0);
    const segments = await capture.close();
    assert.equal(segmentsWith(segments, marker).length, 0);
    assert.equal(hboneSegments(segments).length, 0);
    const status = await run([GROUNDWIRE, 'status', '--node', test.mesh.nodes.a.name]);
    assert.match(status.stderr, /is gone: .* 1 pod that it captured has no network .* \(shop\/client\); start it as/);
    await test.mesh.startAgent('a');
    await until('the pod is served again', async () => ((await isServed()) ? true : undefined));
  });

  it('goes on without a control plane, also for an identity that has no tunnel yet, and an agent restarts from its cache', async () => {
    const newcomer = test.shell('a', 'shop', 'newcomer');
    assert.equal((await newcomer.exec('true')).code, 0);
    await test.mesh.control.stop('SIGKILL');
    assert.ok(await isServed(), 'traffic goes on');
    assert.ok(await isServed(newcomer), 'a pod that has not connected yet is served');
    const agent = test.mesh.agent('b');
    await agent.stop('SIGTERM');
    await test.mesh.launchAgent('b');
    await until('the restarted agent says that it works from disk', async () => {
      const status = await test.mesh.ask<{ controlPlane: { fromCache: boolean; state: string } }>('b', 'status');
      return status.controlPlane.fromCache ? true : undefined;
    });
    // Its keys were in memory only, and there is nobody to sign new ones: what must not happen is plaintext.
    const capture = await PacketCapture.open(test.mesh.nodes.a, join(test.mesh.names.directory, 'cached.pcap'));
    await ask();
    const segments = await capture.close();
    assert.equal(segments.filter((segment) => segment.destinationPort === PEER_PORTS.caller).length, 0);
    await test.mesh.startControl();
    await until('all is well again', async () => ((await isServed()) ? true : undefined), 60_000);
  });

  it('says so when the disk is full, and loses nothing', async () => {
    const state = join(test.mesh.names.directory, test.mesh.nodes.a.name, 'state');
    await test.mesh.agent('a').stop('SIGTERM');
    await must(['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', state]);
    try {
      await must(['sh', '-c', `head -c 100000 /dev/zero > '${join(state, 'filler')}' || true`]);
      await test.mesh.startAgent('a');
      await until('the pod is served', async () => ((await isServed()) ? true : undefined));
      await until(
        'the agent says that it cannot write',
        () => (/ENOSPC|no space/i.test(test.mesh.agent('a').log()) ? true : undefined),
        10_000,
      );
    } finally {
      await test.mesh.agent('a').stop('SIGTERM');
      await must(['umount', state]);
      await test.mesh.startAgent('a');
    }
    await until('the pod is served', async () => ((await isServed()) ? true : undefined));
  });

  it('takes a pod away when its holder is killed', async () => {
    const holder = test.mesh.startPod({ node: 'a', namespace: 'shop', name: 'short-lived' }, ['sleep', '1000']);
    const list = async () =>
      (await test.mesh.ask<{ pods: { name: string; namespacePath: string }[] }>('a', 'status')).pods.find(
        (pod) => pod.name === 'short-lived',
      );
    const pod = await until('the pod is there', list);
    holder.child.kill('SIGKILL');
    await until('the pod is gone', async () => ((await list()) === undefined ? true : undefined), 10_000);
    const namespaces = await must(['ip', 'netns', 'list']);
    assert.ok(!namespaces.includes(pod.namespacePath.split('/').at(-1) ?? '?'));
  });
});

describe('start without what is needed', { skip: WITHOUT_ROOT }, () => {
  it('says that it is not root', async () => {
    const outcome = await run([
      'setpriv',
      '--reuid',
      '65534',
      '--clear-groups',
      GROUNDWIRE,
      'agent',
      '--control',
      '127.0.0.1:1',
      '--token-file',
      '/dev/null',
    ]);
    assert.equal(outcome.code, 77);
    assert.match(outcome.stderr, /groundwire agent needs root: .*sudo/);
  });

  it('doctor names a feature that is missing, what was tried and what to do', async () => {
    // Without CAP_BPF and CAP_SYS_ADMIN the kernel refuses every program: a machine without eBPF, as far as we can see.
    const caps = '-bpf,-sys_admin';
    const outcome = await run([
      'setpriv',
      '--bounding-set',
      caps,
      '--inh-caps',
      caps,
      GROUNDWIRE,
      'doctor',
      '-o',
      'json',
    ]);
    assert.equal(outcome.code, 1);
    const features = JSON.parse(outcome.stdout) as readonly KernelFeature[];
    const missing = features.filter((feature) => feature.required && !feature.present);
    assert.ok(missing.length > 0, outcome.stdout);
    for (const { name, detail, remedy } of missing) {
      assert.ok(name !== '' && detail !== '' && remedy !== '', JSON.stringify({ name, detail, remedy }));
    }
  });

  it('an agent that cannot reach its control plane says so', async () => {
    const test = await TestMesh.open({ 'namespaces.yaml': namespaceManifest('shop', true) });
    try {
      await test.mesh.control.stop();
      await test.mesh.agent('a').stop();
      await test.mesh.launchAgent('a');
      await until('the agent says that the control plane is away', async () => {
        const status = await test.mesh
          .ask<{ controlPlane: { state: string; problem?: string } }>('a', 'status')
          .catch(() => undefined);
        return status !== undefined &&
          status.controlPlane.state !== 'connected' &&
          status.controlPlane.problem !== undefined
          ? true
          : undefined;
      });
    } finally {
      await test.close();
    }
  });
});
