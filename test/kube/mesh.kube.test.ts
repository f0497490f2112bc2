// SPDX-License-Identifier: Apache-2.0

// The mesh on a real Kubernetes of two nodes, driven with kubectl. The scenarios follow one another on one cluster.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { must, run, until } from '#src/harness/shell.ts';
import { type ClusterNode, NODES } from './cluster.ts';
import { InstalledMesh, object, pod, serving } from './installed-mesh.ts';

const [n1, n2] = NODES as [ClusterNode, ClusterNode];
const SECURITY = 'security.istio.io/v1';

let mesh: InstalledMesh;

before(
  async () => {
    mesh = await InstalledMesh.open();
  },
  { timeout: 60 * 60_000 },
);

after(() => mesh?.close(), { timeout: 120_000 });

let broken = false;

/** A scenario; what the cluster looks like is told when it fails, and those that build on it are not tried then. */
function scenario(name: string, body: () => Promise<void>): void {
  test(name, { timeout: 240_000 }, async () => {
    assert.equal(broken, false, 'a scenario before it did not hold');
    try {
      await body();
    } catch (error) {
      broken = true;
      process.stderr.write(`${await mesh.describe()}\n`);
      throw error;
    }
  });
}

const namespace = (name: string, labels: Record<string, string> = {}): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });

const account = (name: string, namespace_: string): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: namespace_ } });

const AMBIENT = { 'istio.io/dataplane-mode': 'ambient' };

async function apply(...objects: string[]): Promise<void> {
  await mesh.cluster.apply(objects.join('\n---\n'));
}

/** Waits until the same question has that answer. */
async function becomes(what: string, ask: () => Promise<string>, wanted: RegExp): Promise<void> {
  let last = '';
  await until(
    what,
    async () => {
      last = await ask();
      return wanted.test(last) || undefined;
    },
    30_000,
    300,
  ).catch((cause: unknown) => {
    throw new Error(`${what}: ${last} is not ${wanted}`, { cause });
  });
}

scenario(
  'kubernetes: a labelled namespace is in the mesh, before and after its pods start, without a restart',
  async () => {
    await apply(
      namespace('shop'),
      account('client', 'shop'),
      account('rival', 'shop'),
      pod('web', { namespace: 'shop', node: 'n1', run: serving('hello', 8080) }),
      pod('client', { namespace: 'shop', node: 'n2', account: 'client' }),
      pod('outsider', { namespace: 'default', node: 'n2' }),
      object('v1', 'Service', 'web', 'shop', {
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: 8080 }],
      }),
    );
    await mesh.podsReady('shop');
    await mesh.podsReady('default');
    assert.equal(await mesh.redirection('shop', 'web'), '');
    await mesh.cluster.kubectl(['label', 'namespace', 'shop', 'istio.io/dataplane-mode=ambient']);
    await mesh.enrolled('shop', 'web');
    await mesh.enrolled('shop', 'client');
    await apply(pod('rival', { namespace: 'shop', node: 'n2', account: 'rival' }));
    await mesh.podsReady('shop');
    await mesh.enrolled('shop', 'rival');
    const restarts = await mesh.cluster.kubectl([
      'get',
      'pods',
      '-n',
      'shop',
      '-o',
      'jsonpath={.items[*].status.containerStatuses[*].restartCount}',
    ]);
    assert.equal(restarts.trim(), '0 0 0');
  },
);

scenario(
  'kubernetes: what pods of two nodes say to each other goes by mutual TLS, with the identity of its service account',
  async () => {
    for (const url of ['http://web/', 'http://web.shop.svc.cluster.local/'])
      assert.equal(await mesh.curl('shop/client', url), 'hello');
    const address = await mesh.cluster.kubectl(['get', 'pod', '-n', 'shop', 'web', '-o', 'jsonpath={.status.podIP}']);
    assert.equal(await mesh.curl('shop/client', `http://${address}:8080/`), 'hello');
    await becomes('both agents have logged it', async () => String((await mesh.accessLog(n1)).length), /^[3-9]/);
    for (const record of [...(await mesh.accessLog(n2)), ...(await mesh.accessLog(n1))].filter(
      (one) => one['dst.workload'] === 'web',
    )) {
      assert.equal(record['hop'], 'hbone');
      assert.equal(record['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
    }
    // Outside the mesh it is plaintext, and served, as long as nothing says otherwise.
    assert.equal(await mesh.curl('default/outsider', 'http://web.shop/'), 'hello');
  },
);

scenario(
  'kubernetes: STRICT refuses plaintext, and the probes of the kubelet pass all the same, by HTTP, TCP and exec',
  async () => {
    await apply(
      object(SECURITY, 'PeerAuthentication', 'default', 'shop', { mtls: { mode: 'STRICT' } }),
      object('apps/v1', 'Deployment', 'probed', 'shop', {
        replicas: 2,
        selector: { matchLabels: { app: 'probed' } },
        template: {
          metadata: { labels: { app: 'probed' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'main',
                image: 'groundwire.test/tools:1',
                imagePullPolicy: 'Never',
                args: [serving('probed', 8080)],
                readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
                livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
                startupProbe: {
                  exec: { command: ['curl', '-sf', 'http://127.0.0.1:8080/'] },
                  periodSeconds: 1,
                  failureThreshold: 20,
                },
              },
            ],
          },
        },
      }),
    );
    await becomes('plaintext is refused', () => mesh.curl('default/outsider', 'http://web.shop/'), /^curl /);
    assert.equal(await mesh.curl('shop/client', 'http://web/'), 'hello');
    await mesh.cluster.kubectl(['rollout', 'status', '-n', 'shop', 'deployment/probed', '--timeout=60s'], {
      timeoutMs: 70_000,
    });
    const names = (
      await mesh.cluster.kubectl([
        'get',
        'pods',
        '-n',
        'shop',
        '-l',
        'app=probed',
        '-o',
        'jsonpath={.items[*].metadata.name}',
      ])
    ).split(' ');
    for (const name of names) await mesh.enrolled('shop', name);
    // Five probes of each kind that all pass: one failure would end a container or take it out of service.
    await until('probes have been asked', async () => {
      const { stdout } = await mesh.cluster.tryKubectl([
        'get',
        'pods',
        '-n',
        'shop',
        '-l',
        'app=probed',
        '-o',
        'jsonpath={.items[*].status.startTime}',
      ]);
      return stdout.split(' ').every((time) => Date.now() - Date.parse(time) > 8_000) || undefined;
    });
    const state = await mesh.cluster.kubectl([
      'get',
      'pods',
      '-n',
      'shop',
      '-l',
      'app=probed',
      '-o',
      'jsonpath={range .items[*].status.containerStatuses[*]}{.ready}{.restartCount} {end}',
    ]);
    assert.equal(state.trim(), 'true0 true0');
  },
);

scenario('kubernetes: a policy by principal holds across nodes within seconds, and ends with its object', async () => {
  assert.equal(await mesh.curl('shop/rival', 'http://web/'), 'hello');
  await apply(
    object(SECURITY, 'AuthorizationPolicy', 'no-rival', 'shop', {
      action: 'DENY',
      rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/rival'] } }] }],
    }),
  );
  await becomes('the rival is refused', () => mesh.curl('shop/rival', 'http://web/'), /^curl /);
  assert.equal(await mesh.curl('shop/client', 'http://web/'), 'hello');
  await mesh.cluster.kubectl(['delete', 'authorizationpolicy', '-n', 'shop', 'no-rival']);
  await becomes('the rival is served', () => mesh.curl('shop/rival', 'http://web/'), /^hello$/);
});

scenario('kubernetes: the pods of a StatefulSet are reached by their names, through the mesh', async () => {
  await apply(
    object('v1', 'Service', 'db', 'shop', {
      clusterIP: 'None',
      selector: { app: 'db' },
      ports: [{ name: 'redis', port: 6379 }],
    }),
    object('apps/v1', 'StatefulSet', 'db', 'shop', {
      serviceName: 'db',
      replicas: 2,
      podManagementPolicy: 'Parallel',
      selector: { matchLabels: { app: 'db' } },
      template: {
        metadata: { labels: { app: 'db' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'main',
              image: 'groundwire.test/tools:1',
              imagePullPolicy: 'Never',
              args: ['exec redis-server --save "" --protected-mode no'],
            },
          ],
        },
      },
    }),
  );
  await mesh.cluster.kubectl(['rollout', 'status', '-n', 'shop', 'statefulset/db', '--timeout=60s'], {
    timeoutMs: 70_000,
  });
  for (const name of ['db-0', 'db-1']) {
    await mesh.enrolled('shop', name);
    const set = await mesh.exec('shop/client', ['redis-cli', '-h', `${name}.db`, 'set', 'who', name]);
    assert.equal(set.stdout.trim(), 'OK', set.stderr);
    const got = await mesh.exec(`shop/${name}`, ['redis-cli', 'get', 'who']);
    assert.equal(got.stdout.trim(), name);
  }
});

scenario('kubernetes: an agent has no more rights than its node is worth', async () => {
  const agent = await mesh.agentOf(n1);
  const asAgent = async (...command: string[]): Promise<string> => {
    const token = (
      await mesh.cluster.kubectl([
        'create',
        'token',
        'groundwire-agent',
        '-n',
        'groundwire-system',
        '--bound-object-kind',
        'Pod',
        '--bound-object-name',
        agent,
      ])
    ).trim();
    const { code, stderr } = await mesh.cluster.tryKubectl([
      '--token',
      token,
      '--kubeconfig',
      '/dev/null',
      '--server',
      'https://10.200.0.1:6443',
      '--certificate-authority',
      `${mesh.cluster.directory}/ca.crt`,
      ...command,
    ]);
    return code === 0 ? 'done' : stderr;
  };
  const patch = (metadata: object): string[] => ['-n', 'shop', '--type=merge', '-p', JSON.stringify({ metadata })];
  assert.match(
    await asAgent('patch', 'pod', 'client', ...patch({ annotations: { 'ambient.istio.io/redirection': null } })),
    /may not change a pod of another node/,
  );
  assert.match(
    await asAgent('patch', 'pod', 'web', ...patch({ labels: { app: 'client' } })),
    /changes no pod's labels/,
  );
  assert.match(await asAgent('patch', 'pod', 'web', ...patch({ annotations: { x: 'y' } })), /no annotation but/);
  assert.match(await asAgent('delete', 'pod', '-n', 'shop', 'web'), /forbidden/i);
  assert.match(await asAgent('get', 'secrets', '-A'), /forbidden/i);
});

scenario('kubernetes: agents and kubelets that are restarted leave the mesh as it is', async () => {
  const agent = await mesh.agentOf(n1);
  await mesh.cluster.kubectl(['delete', 'pod', '-n', 'groundwire-system', agent], { timeoutMs: 60_000 });
  await mesh.cluster.kubectl(
    ['rollout', 'status', '-n', 'groundwire-system', 'daemonset/groundwire-agent', '--timeout=90s'],
    { timeoutMs: 100_000 },
  );
  await becomes('traffic goes on', () => mesh.curl('shop/client', 'http://web/'), /^hello$/);
  await mesh.cluster.restartKubelet(n1);
  await mesh.cluster.restartContainerd(n2);
  await until(
    'both nodes are ready',
    async () => {
      const { stdout } = await mesh.cluster.tryKubectl([
        'get',
        'nodes',
        '-o',
        'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}',
      ]);
      return stdout.trim() === 'True True' || undefined;
    },
    60_000,
    500,
  );
  await becomes('traffic goes on', () => mesh.curl('shop/client', 'http://web/'), /^hello$/);
  // STRICT held all the time, and holds now.
  assert.match(await mesh.curl('default/outsider', 'http://web.shop/'), /^curl /);
});

scenario('kubernetes: a label that is removed gives the pods back, in plaintext and without a restart', async () => {
  await mesh.cluster.kubectl(['delete', 'peerauthentication', '-n', 'shop', 'default']);
  await mesh.cluster.kubectl(['label', 'namespace', 'shop', 'istio.io/dataplane-mode-']);
  await mesh.enrolled('shop', 'web', false);
  await mesh.enrolled('shop', 'client', false);
  await becomes('it is served in plaintext', () => mesh.curl('shop/client', 'http://web/'), /^hello$/);
  const before = (await mesh.accessLog(n2)).length;
  assert.equal(await mesh.curl('shop/client', 'http://web/'), 'hello');
  assert.equal((await mesh.accessLog(n2)).length, before);
});

scenario('kubernetes: uninstalled, it leaves nothing on the nodes', async () => {
  await mesh.cluster.kubectl([
    'label',
    'namespace',
    'shop',
    ...Object.entries(AMBIENT).map(([key, value]) => `${key}=${value}`),
  ]);
  await mesh.enrolled('shop', 'web');
  await mesh.cluster.kubectl(['label', 'namespace', 'shop', 'istio.io/dataplane-mode-']);
  await mesh.enrolled('shop', 'web', false);
  // A pod whose connections are still drained is the agent's until they have ended.
  for (const node of NODES) {
    const held = mesh.cluster.onNode(node, ['ls', `/run/groundwire/${node.name}/pods`]);
    await until(
      `${node.name} has let go of its pods`,
      async () => ((await run(held)).stdout === '' ? true : undefined),
      40_000,
      300,
    );
  }
  await mesh.uninstall();
  for (const node of NODES) {
    const left = await run(
      mesh.cluster.onNode(node, [
        'sh',
        '-c',
        'find /sys/fs/bpf/groundwire /run/groundwire -mindepth 1 -not -type d 2>/dev/null',
      ]),
    );
    assert.equal(left.stdout.trim(), '', `on ${node.name}`);
    assert.equal(existsSync(`/sys/fs/cgroup/unified/groundwire/${node.name}`), false);
  }
  const [web] = (await must(mesh.cluster.onNode(n1, ['ctr', '-n', 'k8s.io', 'tasks', 'list', '-q']))).split('\n');
  assert.ok(web !== undefined && web !== '');
});
