// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Background, must, until } from '../../src/harness/shell.ts';
import { pinDirectoryOf } from '../../src/node/pins.ts';
import {
  namespaceManifest,
  PEER_PORTS,
  peer,
  type Server,
  TestMesh,
  untilServing,
  WITHOUT_ROOT,
} from '../helpers/test-mesh.ts';

interface PodRow {
  readonly namespace: string;
  readonly name: string;
  readonly state: string;
  readonly problem?: string;
  readonly oldConnections: { readonly count: number; readonly closed: boolean };
}

describe('pods that join and leave', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let server: Server;

  before(async () => {
    test = await TestMesh.open({
      'keeping.yaml': namespaceManifest('keeping', false),
      'closing.yaml': namespaceManifest('closing', false, { 'groundwire.io/existing-connections': 'close' }),
      'outside.yaml': namespaceManifest('outside', false),
    });
    server = await test.server('b', 'outside', 'server');
    const probe = test.shell('a', 'outside', 'probe');
    await untilServing(probe, server.address);
  });
  after(() => test.close());

  async function holdThenLabel(
    namespace: string,
    annotations: Readonly<Record<string, string>>,
  ): Promise<{ holder: Background; row: PodRow }> {
    const holder = test.mesh.startPod({ node: 'a', namespace, name: 'holder' }, [
      'sh',
      '-c',
      `${peer('hold', server.address, PEER_PORTS.echo).join(' ')}; sleep 1000`,
    ]);
    await until('the connection is open', () => (holder.log().includes('open') ? true : undefined));
    test.mesh.writeManifest(`${namespace}.yaml`, namespaceManifest(namespace, true, annotations));
    const row = await until('the pod is captured and its old connection listed', async () => {
      const found = await rowOf(test, namespace);
      return found?.state === 'captured' && found.oldConnections.count > 0 ? found : undefined;
    });
    return { holder, row };
  }

  it('lists the connections that are older than the capture and keeps them by default', async () => {
    const { holder, row } = await holdThenLabel('keeping', {});
    assert.equal(row.oldConnections.count, 1);
    assert.equal(row.oldConnections.closed, false);
    assert.doesNotMatch(holder.log(), /ECONNRESET|ECONNABORTED|end|closed/);
    await holder.stop();
  });

  it('ends them where the namespace says so', async () => {
    const { holder, row } = await holdThenLabel('closing', { 'groundwire.io/existing-connections': 'close' });
    assert.equal(row.oldConnections.closed, true);
    await until(
      'the connection is ended',
      () => (/ECONNRESET|ECONNABORTED|end|closed/.test(holder.log()) ? true : undefined),
      5000,
    );
    await holder.stop();
  });

  it('takes istio-injection=enabled for the label, with a notice', async () => {
    test.mesh.writeManifest(
      'alias.yaml',
      'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: alias\n  labels: { istio-injection: enabled }\n',
    );
    const pod = test.mesh.startPod({ node: 'a', namespace: 'alias', name: 'holder' }, ['sleep', '1000']);
    await until('the pod is captured', async () =>
      (await rowOf(test, 'alias'))?.state === 'captured' ? true : undefined,
    );
    assert.match(test.mesh.control.log(), /istio-injection/);
    await pod.stop();
  });

  it('gives a pod back when its namespace loses the label, and takes it again', async () => {
    const pod = test.mesh.startPod({ node: 'a', namespace: 'keeping', name: 'holder' }, ['sleep', '1000']);
    const becomes = (state: string) =>
      until(`the pod is ${state}`, async () => ((await rowOf(test, 'keeping'))?.state === state ? true : undefined));
    for (const [label, state] of [
      [true, 'captured'],
      [false, 'uncaptured'],
      [true, 'captured'],
    ] as const) {
      test.mesh.writeManifest('keeping.yaml', namespaceManifest('keeping', label));
      await becomes(state);
    }
    await pod.stop();
  });
});

describe('pods whose label comes back while they leave', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;

  before(async () => {
    // So long that whatever is seen here has not waited for its end.
    const agentFlags = ['--keep-pods=false', '--release-grace', '1m'];
    test = await TestMesh.open({ 'flapping.yaml': namespaceManifest('flapping', false) }, { agentFlags });
  });
  after(() => test.close());

  const label = (on: boolean) => test.mesh.writeManifest('flapping.yaml', namespaceManifest('flapping', on));
  const becomes = (...states: string[]) =>
    until(`the pod is ${states.join(' or ')}`, async () => {
      const row = await rowOf(test, 'flapping');
      return row !== undefined && states.includes(row.state) ? row : undefined;
    });

  it('stay captured', async () => {
    const pod = test.mesh.startPod({ node: 'a', namespace: 'flapping', name: 'holder' }, ['sleep', '1000']);
    await becomes('uncaptured');
    label(true);
    await becomes('captured');
    for (let i = 0; i < 3; i += 1) {
      label(false);
      await becomes('releasing');
      label(true);
      const { problem } = await becomes('captured');
      assert.equal(problem, undefined);
    }
    const log = test.mesh.agent('a').log();
    assert.equal(log.match(/pod captured.*flapping\/holder/g)?.length, 1, log);
    assert.doesNotMatch(log, /pod released/);
    await pod.stop();
  });

  it('do not start when they could not be captured', async () => {
    const pins = join(pinDirectoryOf('/sys/fs/bpf', test.mesh.nodes.a.name), 'pods');
    await must(['mount', '-t', 'tmpfs', '-o', 'ro', 'groundwire-test', pins]);
    let pod: Background;
    try {
      pod = test.mesh.startPod({ node: 'a', namespace: 'flapping', name: 'holder' }, [
        'sh',
        '-c',
        'echo started; sleep 1000',
      ]);
      await until('its capture failed', async () => (await rowOf(test, 'flapping'))?.problem);
      label(false);
      await becomes('releasing');
      label(true);
      const { state } = await becomes('capturing', 'captured');
      assert.equal(state, 'capturing');
      assert.doesNotMatch(pod.log(), /started/);
    } finally {
      await must(['umount', pins]);
    }
    await becomes('captured');
    await until('its program runs', () => (pod.log().includes('started') ? true : undefined));
    await pod.stop();
  });
});

async function rowOf(test: TestMesh, namespace: string): Promise<PodRow | undefined> {
  const { pods } = await test.mesh.ask<{ pods: PodRow[] }>('a', 'status');
  return pods.find((pod) => pod.namespace === namespace && pod.name === 'holder');
}
