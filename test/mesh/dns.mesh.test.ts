// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Background, must, start, until } from '../../src/harness/shell.ts';
import type { PodShell } from '../../src/harness/two-node-mesh.ts';
import { onNode } from '../../src/harness/two-nodes.ts';
import {
  namespaceManifest,
  PEER_PORTS,
  peer,
  type Server,
  TestMesh,
  untilServing,
  WITHOUT_ROOT,
} from '../helpers/test-mesh.ts';

const UPSTREAM = fileURLToPath(new URL('../helpers/dns-upstream.ts', import.meta.url));
const VIP = '10.96.76.20';
const SERVICES = `apiVersion: v1
kind: Service
metadata: { name: far, namespace: shop }
spec:
  clusterIP: ${VIP}
  selector: { app: far }
  ports: [{ name: caller, port: 80, targetPort: ${PEER_PORTS.caller} }]
---
apiVersion: v1
kind: Service
metadata: { name: nobody, namespace: shop }
spec:
  clusterIP: 10.96.76.21
  selector: { app: nobody }
  ports: [{ name: http, port: 80 }]
---
apiVersion: v1
kind: Service
metadata: { name: alias, namespace: shop }
spec: { type: ExternalName, externalName: far.shop.svc.cluster.local }
---
apiVersion: v1
kind: Service
metadata: { name: outside, namespace: shop }
spec: { type: ExternalName, externalName: upstream.example }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: node, namespace: shop }
spec:
  hosts: [node.mesh]
  ports: [{ name: caller, number: 80, protocol: TCP, targetPort: ${PEER_PORTS.caller} }]
  resolution: DNS
  endpoints: [{ address: whoami.example }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: missing, namespace: shop }
spec:
  hosts: [gone.mesh]
  ports: [{ name: tcp, number: 80, protocol: TCP }]
  resolution: DNS
  endpoints: [{ address: missing.example }]
---
apiVersion: v1
kind: Service
metadata: { name: roll, namespace: shop }
spec:
  clusterIP: 10.96.76.22
  selector: { roll: 'yes' }
  ports: [{ name: caller, port: 80, targetPort: ${PEER_PORTS.caller} }]
`;

describe('names and Services', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let far: Server;
  let upstream: Background;

  before(async () => {
    test = await TestMesh.open(
      { 'namespaces.yaml': namespaceManifest('shop', true), 'services.yaml': SERVICES },
      { agentFlags: ['--keep-pods=false', '--resolve-from', 'pod'] },
    );
    const { a } = test.mesh.nodes;
    upstream = start(
      onNode(a, [process.execPath, '--disable-warning=ExperimentalWarning', UPSTREAM, a.address]),
      join(test.mesh.names.directory, 'upstream.log'),
    );
    await until('the name server listens', () => (upstream.log().includes('listening') ? true : undefined));
    client = test.shell('a', 'shop', 'client');
    far = await test.server('b', 'shop', 'far');
    await untilServing(client, far.address);
  });
  after(async () => {
    await upstream.stop();
    await test.close();
  });

  const resolve = async (name: string) => (await client.exec(`getent ahostsv4 ${name}`)).stdout.split(/\s/)[0] ?? '';

  for (const name of ['far', 'far.shop', 'far.shop.svc', 'far.shop.svc.cluster.local']) {
    it(`resolves ${name} to the Service`, async () => assert.equal(await resolve(name), VIP));
  }

  it('carries a connection to the Service to a pod of it, target port and all', async () => {
    const [address] = await client.addresses();
    const answer = await client.exec(peer('ask', VIP, 80).join(' '));
    assert.equal(answer.stdout.split(' ')[0], address);
  });

  it('ends a connection to a Service without endpoints', async () => {
    const answer = await client.exec(peer('await-end', '10.96.76.21', 80).join(' '));
    assert.match(answer.stdout, /ECONNRESET|ECONNREFUSED/);
    await until(
      'the access log says why',
      () => (test.mesh.agent('a').log().includes('NO_HEALTHY_UPSTREAM') ? true : undefined),
      5000,
    );
  });

  it('ends a connection to a port that the Service does not have', async () => {
    const answer = await client.exec(peer('await-end', VIP, 81).join(' '));
    assert.match(answer.stdout, /ECONNRESET|ECONNREFUSED/);
    await until(
      'the access log says why',
      () => (test.mesh.agent('a').log().includes('UNKNOWN_SERVICE_PORT') ? true : undefined),
      5000,
    );
  });

  it('forwards a name that is not of the mesh', async () => {
    assert.equal(await resolve('upstream.example'), '192.0.2.53');
  });

  for (const [transport, options] of [
    ['UDP', ''],
    ['TCP', 'RES_OPTIONS=use-vc '],
  ]) {
    it(`asks the resolver as the pod, over ${transport}`, async () => {
      const [address] = await client.addresses();
      const answer = await client.exec(`${options}getent ahostsv4 whoami.example`);
      assert.equal(answer.stdout.split(/\s/)[0], address);
    });
  }

  it('tells how long the resolver took, by who asked what', async () => {
    const text = await must(onNode(test.mesh.nodes.a, ['curl', '-sS', 'http://127.0.0.1:15020/metrics']));
    for (const transport of ['udp', 'tcp']) {
      const labels = `request_query_type="a",request_protocol="${transport}",source_canonical_service="client"`;
      const count = `istio_dns_upstream_request_duration_seconds_count{${labels}`;
      const line = text.split('\n').find((candidate) => candidate.startsWith(count));
      assert.match(line ?? '', / [1-9]\d*$/, text);
    }
  });

  it('answers an ExternalName with what it leads to, in the mesh and outside', async () => {
    assert.equal(await resolve('alias'), VIP);
    assert.equal(await resolve('outside'), '192.0.2.53');
  });

  it('carries a connection to a host that is known by its name only to where the node finds it', async () => {
    // The name server tells each client its own address, and the node is the one who asks.
    const host = start(
      onNode(test.mesh.nodes.a, peer('serve', PEER_PORTS.count)),
      join(test.mesh.names.directory, 'host.log'),
    );
    try {
      const vip = await resolve('node.mesh');
      assert.match(vip, /^240\.240\./);
      const [address] = await client.addresses();
      await until('the host answers the pod', async () => {
        const answer = await client.exec(peer('ask', vip, 80).join(' '));
        return answer.stdout.split(' ')[0] === address ? true : undefined;
      });
    } finally {
      await host.stop();
    }
  });

  it('ends a connection to a name that nobody can resolve, and tells which', async () => {
    const answer = await client.exec(peer('await-end', await resolve('gone.mesh'), 80).join(' '));
    assert.match(answer.stdout, /ECONNRESET|ECONNREFUSED/);
    await until(
      'the access log says why',
      () => (test.mesh.agent('a').log().includes('UNRESOLVED_NAME') ? true : undefined),
      5000,
    );
    const { problems } = await test.mesh.ask<{ problems: string[] }>('a', 'status');
    const services = await test.mesh.ask<{ hostname: string; endpoints: object }[]>('a', 'services');
    const gone = services.find(({ hostname }) => hostname === 'gone.mesh');
    assert.match(JSON.stringify(gone?.endpoints), /"status":"Unhealthy"/);
    assert.match(problems.join('\n'), /the name missing\.example .* cannot be resolved: there is no such name/);
  });

  it('sends nobody to a pod that has been told to end', async () => {
    const endpoints = async (): Promise<number> => {
      const services = await test.mesh.ask<{ hostname: string; endpoints: object }[]>('a', 'services');
      const roll = services.find(({ hostname }) => hostname === 'roll.shop.svc.cluster.local');
      return Object.keys(roll?.endpoints ?? {}).length;
    };
    const pods = ['one', 'two'].map((name) =>
      test.mesh.startPod(
        { node: 'b', namespace: 'shop', name, serviceAccount: name, labels: { roll: 'yes' } },
        // Goes on when it is told to end, as a server does that lets its connections finish.
        ['sh', '-c', `trap "" TERM; echo up; ${peer('serve', PEER_PORTS.count).join(' ')} & wait`],
      ),
    );
    await until('both run', () => (pods.every((pod) => pod.log().includes('up')) ? true : undefined));
    await until('both are endpoints', async () => ((await endpoints()) === 2 ? true : undefined));
    pods[0]?.child.kill('SIGTERM');
    await until('one is not, any more', async () => ((await endpoints()) === 1 ? true : undefined));
    assert.equal(pods[0]?.child.exitCode, null, 'it lives');
  });

  it('passes on that a name does not exist', async () => {
    assert.equal((await client.exec('getent ahostsv4 missing.example')).code, 2);
  });

  it('answers over TCP', async () => {
    const answer = await client.exec('RES_OPTIONS=use-vc getent ahostsv4 far');
    assert.equal(answer.stdout.split(/\s/)[0], VIP);
  });
});
