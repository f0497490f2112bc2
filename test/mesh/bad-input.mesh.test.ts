// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { must, run, until } from '../../src/harness/shell.ts';
import type { PodShell } from '../../src/harness/two-node-mesh.ts';
import { onNode } from '../../src/harness/two-nodes.ts';
import { type Authority, makeAuthority, makeClient } from '../helpers/client-certificate.ts';
import {
  namespaceManifest,
  PEER_PORTS,
  peer,
  type Server,
  TestMesh,
  untilServing,
  WITHOUT_ROOT,
} from '../helpers/test-mesh.ts';

const HBONE_CLIENT = fileURLToPath(new URL('../helpers/hbone-client.ts', import.meta.url));

const MEMBER = 'spiffe://cluster.local/ns/shop/sa/client';
const DENY_CLIENT = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-client, namespace: shop }
spec:
  action: DENY
  rules: [{ from: [{ source: { principals: [cluster.local/ns/shop/sa/client] } }] }]
`;

describe('bad input', { skip: WITHOUT_ROOT }, () => {
  let test: TestMesh;
  let client: PodShell;
  let far: Server;
  let root: Authority;
  let member: string;

  before(async () => {
    test = await TestMesh.open({ 'namespaces.yaml': namespaceManifest('shop', true) });
    client = test.shell('a', 'shop', 'client');
    far = await test.server('b', 'shop', 'far');
    await untilServing(client, far.address);
    const state = join(test.mesh.names.directory, 'control');
    root = { certificate: join(state, 'root.pem'), key: join(state, 'root.key') };
    member = await makeClient(join(test.mesh.names.directory, 'member'), MEMBER, root, root.certificate);
  });
  after(() => test.close());

  const dial = async (mode: string, ...args: string[]) =>
    (
      await must(
        onNode(test.mesh.nodes.a, [
          process.execPath,
          '--disable-warning=ExperimentalWarning',
          HBONE_CLIENT,
          mode,
          far.address,
          ...args,
        ]),
      )
    ).trim();
  /** Runs something that must be counted and must not harm the traffic that works. */
  const counted = async (name: string, action: () => Promise<void>) => {
    const begun = await test.counter('b', name);
    await action();
    await until(
      `counter ${name} moves`,
      async () => ((await test.counter('b', name)) > begun ? true : undefined),
      5000,
    );
    await untilServing(client, far.address);
  };

  /** The sum of the metric's rows that have each of these texts among their labels. */
  const metric = async (name: string, ...labels: readonly string[]) => {
    const text = await must(onNode(test.mesh.nodes.b, ['curl', '-sS', 'http://127.0.0.1:15020/metrics']));
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  };
  const measured = async (name: string, labels: readonly string[], action: () => Promise<void>) => {
    const begun = await metric(name, ...labels);
    await action();
    await until(
      `${name} ${labels.join(' ')} moves`,
      async () => ((await metric(name, ...labels)) > begun ? true : undefined),
      5000,
    );
    await untilServing(client, far.address);
  };

  it('serves a member of the mesh that dials port 15008 itself', async () => {
    assert.equal(await dial('connect', member, `${far.address}:${PEER_PORTS.caller}`), 'status 200');
  });

  it('ends a plaintext client on port 15008', () =>
    counted('tls_handshakes_failed', async () => assert.match(await dial('plaintext'), /^refused/)));

  it('refuses a certificate of an authority that is not ours', () =>
    counted('tls_handshakes_failed', async () => {
      const foreign = await makeAuthority(join(test.mesh.names.directory, 'foreign-root'));
      const directory = await makeClient(
        join(test.mesh.names.directory, 'foreign'),
        'spiffe://cluster.local/ns/shop/sa/client',
        foreign,
        root.certificate,
      );
      assert.match(await dial('handshake', directory), /^refused/);
    }));

  it('refuses a certificate of another trust domain, even from our own authority', () =>
    counted('tls_handshakes_failed', async () => {
      const directory = await makeClient(
        join(test.mesh.names.directory, 'other-domain'),
        'spiffe://elsewhere.example/ns/shop/sa/client',
        root,
        root.certificate,
      );
      assert.match(await dial('handshake', directory), /^refused/);
      await until(
        'the log says what and what to do',
        () => (test.mesh.agent('b').log().includes('TLS_TRUST_DOMAIN') ? true : undefined),
        5000,
      );
    }));

  const atFar = ['reporter="destination"', 'destination_workload_namespace="shop"'];

  it('ends an HTTP/2 client that sends garbage, and says who it was', () =>
    measured('istio_tcp_connections_failed_total', [...atFar, 'response_flags="H2_HANDSHAKE_FAILURE"'], async () => {
      assert.match(await dial('garbage', member), /^refused/);
      await test.untilLogged('b', 'error.code=HBONE_PROTOCOL', MEMBER);
    }));

  it('answers a CONNECT to a foreign address with 400', () =>
    measured('istio_tcp_connections_failed_total', ['response_flags="CONNECT"'], async () => {
      assert.equal(await dial('connect', member, '192.0.2.7:80'), 'status 400');
      await until(
        'the access log says what',
        () => (test.mesh.agent('b').log().includes('HBONE_WRONG_ADDRESS') ? true : undefined),
        5000,
      );
    }));

  it('answers a CONNECT that a policy denies with 401, and names the policy', () =>
    measured('istio_tcp_connections_failed_total', [...atFar, 'response_flags="DENY"'], async () => {
      test.mesh.writeManifest('policy.yaml', DENY_CLIENT);
      try {
        const target = `${far.address}:${PEER_PORTS.caller}`;
        const answer = await until('the policy has taken effect', async () => {
          const said = await dial('connect', member, target);
          return said === 'status 200' ? undefined : said;
        });
        assert.equal(answer, 'status 401');
        await test.untilLogged('b', 'error.code=POLICY_DENIED', 'policy=shop/no-client', 'hbone.status=401');
      } finally {
        test.mesh.removeManifest('policy.yaml');
      }
    }));

  it('answers a request that is no CONNECT with 400', () =>
    measured('istio_tcp_connections_failed_total', [...atFar, 'response_flags="CONNECT"'], () =>
      counted('hbone_bad_requests', async () => {
        assert.equal(await dial('get', member), 'status 400');
      }),
    ));

  it('answers a CONNECT to a closed port with 503', () =>
    measured('istio_tcp_connections_failed_total', [...atFar, `source_principal="${MEMBER}"`], async () => {
      assert.equal(await dial('connect', member, `${far.address}:9`), 'status 503');
    }));

  it('takes a change on its socket only', async () => {
    const { b } = test.mesh.nodes;
    const status = (...where: string[]) =>
      must(onNode(b, ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', '-X', 'POST', ...where]));
    assert.equal(await status('http://127.0.0.1:15000/logging?level=info'), '403');
    const socket = join('/run/groundwire', b.name, 'agent.sock');
    assert.equal(await status('--unix-socket', socket, 'http://agent/logging?level=info'), '200');
  });

  it('names file, line and field of a broken manifest, and the last good one stays', async () => {
    const good = namespaceManifest('shop', true);
    test.mesh.writeManifest('namespaces.yaml', `${good}---\nkind: Namespace\nmetadata: [`);
    await until(
      'the control plane names the file',
      () => (test.mesh.control.log().includes('namespaces.yaml') ? true : undefined),
      5000,
    );
    await untilServing(client, far.address);
    const answer = await client.exec(peer('ask', far.address, PEER_PORTS.caller).join(' '));
    assert.match(answer.stdout, /^[0-9.]+ /);
    assert.equal(
      await dial('connect', member, `${far.address}:${PEER_PORTS.caller}`),
      'status 200',
      'the pod is still captured',
    );
    test.mesh.writeManifest('namespaces.yaml', good);
  });

  it('names and skips a kind that it does not know', async () => {
    test.mesh.writeManifest(
      'unknown.yaml',
      'apiVersion: example.org/v1\nkind: Teapot\nmetadata: { name: short, namespace: stout }\n',
    );
    await until(
      'the control plane names the kind',
      () => (test.mesh.control.log().includes('Teapot') ? true : undefined),
      5000,
    );
    await untilServing(client, far.address);
    test.mesh.removeManifest('unknown.yaml');
  });

  // Names of pods follow from the node, not from the run directory: another one is no way round.
  for (const [which, elsewhere] of [
    ['', false],
    [', and with another run directory, too', true],
  ] as const) {
    it(`refuses a second agent on the same node and says who holds it${which}`, async () => {
      const first = test.mesh.agent('b');
      const before = await metric('groundwire_agent_total', 'name="node_agents_refused"');
      const second = await run(
        test.mesh.agentCommand('b', [
          '--state-dir',
          join(test.mesh.names.directory, 'second'),
          ...(elsewhere ? ['--run-dir', join(test.mesh.names.directory, 'second-run')] : []),
        ]),
      );
      assert.equal(second.code, 75, second.stderr);
      assert.equal(await metric('groundwire_agent_total', 'name="node_agents_refused"'), before + 1);
      assert.match(first.log(), /another agent was started for this node, and refused/);
      assert.match(second.stderr, /is served by another agent already, process \d+/);
      assert.doesNotMatch(second.stderr, /leftover/);
      assert.equal(first.child.exitCode, null);
      assert.equal(far.process.child.exitCode, null, 'its pods live');
      await untilServing(client, far.address);
    });
  }
});
