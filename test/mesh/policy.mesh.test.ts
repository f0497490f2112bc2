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

const DENY_CLIENT = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-client, namespace: shop }
spec:
  action: DENY
  rules: [{ from: [{ source: { principals: [cluster.local/ns/shop/sa/holder] } }] }]
`;

describe('policy on live traffic', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let far: Server;
  let near: Server;

  before(async () => {
    test = await TestMesh.open({ 'namespaces.yaml': namespaceManifest('shop', true) });
    client = test.shell('a', 'shop', 'client');
    [far, near] = await Promise.all([test.server('b', 'shop', 'far'), test.server('a', 'shop', 'near')]);
    for (const server of [far, near]) await untilServing(client, server.address);
  });
  after(() => test.close());

  const isServed = async (address: string) => {
    const pod = { node: 'a', namespace: 'shop', name: 'asker', serviceAccount: 'holder' } as const;
    return /^[0-9.]+ /m.test((await test.mesh.runPod(pod, peer('ask', address, PEER_PORTS.caller))).stdout);
  };

  for (const [where, node, server] of [
    ['across nodes', 'b', () => far],
    ['on the same node', 'a', () => near],
  ] as const) {
    it(`a change that denies ends the live connection ${where}, and only that one`, async () => {
      const address = server().address;
      const denied = test.mesh.startPod(
        { node: 'a', namespace: 'shop', name: `denied-${node}`, serviceAccount: 'holder' },
        peer('hold', address, PEER_PORTS.echo),
      );
      const kept = test.mesh.startPod(
        { node: 'a', namespace: 'shop', name: `kept-${node}`, serviceAccount: 'other' },
        peer('hold', address, PEER_PORTS.echo),
      );
      try {
        for (const holder of [denied, kept])
          await until('the connection is open', () => (holder.log().includes('open') ? true : undefined));
        test.mesh.writeManifest('policy.yaml', DENY_CLIENT);
        await until(
          'the denied connection ends',
          () => (/ECONNRESET|end|closed/.test(denied.log()) ? true : undefined),
          5000,
        );
        await test.untilLogged(
          node,
          'error.code=POLICY_LATE_DENIED',
          'policy=shop/no-client ',
          `addr=${address}:${PEER_PORTS.echo} `,
        );
        assert.doesNotMatch(kept.log(), /ECONNRESET|end|closed/);
      } finally {
        test.mesh.removeManifest('policy.yaml');
        await Promise.all([denied.stop(), kept.stop()]);
        await until('without the policy it is served', async () => ((await isServed(address)) ? true : undefined));
      }
    });
  }

  it('fails closed: a policy whose clause cannot be understood is rejected by name and the last good one stays', async () => {
    test.mesh.writeManifest('policy.yaml', DENY_CLIENT);
    await until('the policy denies', async () => ((await isServed(far.address)) ? undefined : true));
    test.mesh.writeManifest(
      'policy.yaml',
      DENY_CLIENT.replace('principals: [cluster.local/ns/shop/sa/holder]', 'ipBlocks: [not-an-address]'),
    );
    await until(
      'the control plane names file, field and reason',
      () => (/policy\.yaml.*ipBlocks/.test(test.mesh.control.log()) ? true : undefined),
      5000,
    );
    assert.equal(await isServed(far.address), false);
    test.mesh.removeManifest('policy.yaml');
    await until('without the policy it is served', async () => ((await isServed(far.address)) ? true : undefined));
  });
});
