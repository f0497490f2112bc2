// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminRoutes } from '#src/api/admin.ts';
import { AgentFactsReader } from '#src/api/agent-facts.ts';
import { formatDecision } from '#src/api/explain.ts';
import type { ExplainAnswer, StatusFacts } from '#src/api/facts.ts';
import { type HttpAnswer, HttpError, type HttpRequest } from '#src/api/http.ts';
import { pendingTasks, readinessRoutes } from '#src/api/readiness.ts';

import { FakeEngine } from '#src/engine/fake-engine.ts';
import { MeshStore } from '#src/mesh/store.ts';
import type { PodView } from '#src/pods/pod.ts';
import { aMatch, aPolicy, aService, aStore, aWorkload, localPods, port, serving } from '../mesh/mesh-fixtures.ts';

const POD: PodView = {
  uid: 'uid-1',
  handle: 7,
  spec: { namespace: 'shop', name: 'web', serviceAccount: 'web', labels: {}, annotations: {}, ports: {} },
  sandbox: {
    namespaceName: 'n',
    netnsPath: '/run/netns/n',
    linkName: 'l',
    cgroup: '/c',
    addresses: ['10.0.0.1'],
    hostname: 'web',
  },
  holder: { pid: 1, startTicks: 1 },
  startedMs: 0,
  captured: true,
  state: { kind: 'captured', sinceMs: 0 },
  inMesh: true,
  deferred: [],
  oldConnections: {
    connections: [{ local: { address: '10.0.0.1', port: 80 }, remote: { address: 'fd00::2', port: 5 } }],
    closed: false,
  },
};

function makeRoutes() {
  const mesh = new MeshStore();
  mesh.apply({
    workloads: [
      {
        uid: 'Kubernetes//Pod/shop/web',
        name: 'web',
        namespace: 'shop',
        addresses: ['10.0.0.1'],
        hostname: '',
        network: '',
        tunnelProtocol: 'HBONE',
        trustDomain: 'cluster.local',
        serviceAccount: 'web',
        node: 'a',
        canonicalName: 'web',
        canonicalRevision: 'latest',
        workloadType: 'POD',
        workloadName: 'web',
        nativeTunnel: false,
        services: new Map(),
        authorizationPolicies: ['shop/missing'],
        status: 'HEALTHY',
        clusterId: 'Kubernetes',
        networkMode: 'STANDARD',
        capacity: 1,
      },
    ],
  });
  const engine = new FakeEngine();
  engine.snapshot = {
    dnsUpstreams: [],
    connections: [
      {
        id: 5n,
        direction: 'inbound',
        pod: 7,
        hop: 'hbone',
        security: 'mutual_tls',
        source: { address: 'fd00::9', port: 1 },
        originalDst: { address: '10.0.0.1', port: 80 },
        nextHop: { address: '10.0.0.1', port: 8080 },
        sourceIdentity: 'spiffe://a',
        destinationIdentity: 'spiffe://b',
        verdict: 3n,
        bytesSent: 10n,
        bytesReceived: 20n,
        startedMs: 1000n,
      },
    ],
    tunnels: [],
    flows: [],
    counters: [{ name: 'kernel_refused_total', value: 4n }],
  };
  let podLists = 0;
  const facts = new AgentFactsReader({
    engine,
    mesh,
    localPods: { findCapturedPod: () => undefined },
    listPods: () => {
      podLists += 1;
      return [POD];
    },
    listCertificates: () => [
      { identity: 'spiffe://b', state: 'Unavailable', error: 'no answer', certChain: [], rootCerts: [] },
    ],
    readNode: () => ({
      name: 'a',
      addresses: ['192.0.2.1'],
      kernel: '6',
      distribution: 'd',
      cpu: 'c',
      cores: 2,
      loadAverage1m: 0,
      memoryTotalBytes: 1,
      memoryAvailableBytes: 1,
      agentResidentBytes: 1,
    }),
    upstream: () => ({ address: '192.0.2.9:15012', state: 'disconnected', problem: 'refused', fromCache: true }),
    pending: () => ['state manager'],
    rejectedTotal: () => 3,
    tokenProblem: () => 'the join token ends soon',
    recallsOwed: () => 2,
    podFilesProblem: () => 'disk full',
    captureProblems: () => ['capture of shop/web was undone'],
    unenrolled: () => [{ name: 'shop/late', reason: 'no_sandbox' }],
    meshProblems: () => ['manifest refused: a.yaml:3'],
    findPolicy: (verdict) => (verdict === 3n ? 'shop/allow' : undefined),
    identity: () => ({ trustDomain: 'cluster.local', clusterId: 'Kubernetes' }),
    version: { groundwire: '0.1.0', node: '24', openssl: '3.5' },
    config: { node: 'a' },
    startedMs: 0,
  });
  const log = {
    level: 'info' as 'info' | 'debug' | 'warn' | 'error',
    setLevel: (level: 'info' | 'debug' | 'warn' | 'error') => {
      log.level = level;
    },
  };
  return { routes: adminRoutes(facts, log), log, mesh, engine, podLists: () => podLists };
}

const REJECTED = { kind: 'service', reason: 'too new', addresses: [] } as const;

async function call(method: string, target: string, { routes } = makeRoutes()): Promise<unknown> {
  const url = new URL(target, 'http://agent');
  const route = routes.find((one) => one.method === method && one.path === url.pathname);
  assert.ok(route, target);
  const answer = (await route.handle({ url, params: {} } as unknown as HttpRequest, undefined as never)) as Exclude<
    HttpAnswer,
    'taken'
  >;
  assert.ok('json' in answer);
  return JSON.parse(JSON.stringify(answer.json));
}

test('status: what a person should look at is told in words', async () => {
  const status = (await call('GET', '/status')) as StatusFacts;
  assert.equal(status.ready, false);
  assert.deepEqual(status.counters, { kernel_refused_total: 4 });
  assert.equal(status.pods[0]?.oldConnections.count, 1);
  assert.deepEqual(status.pods[0]?.oldConnections.connections, ['10.0.0.1:80 [fd00::2]:5']);
  assert.match(status.problems.join('\n'), /control plane 192\.0\.2\.9:15012 is not connected: refused/);
  assert.match(status.problems.join('\n'), /shop\/web: 1 connections are older than its capture/);
  assert.match(status.problems.join('\n'), /certificate of spiffe:\/\/b: no answer/);
  assert.match(status.problems.join('\n'), /2 decisions no longer hold/);
  assert.match(status.problems.join('\n'), /^no pod can be started: disk full$/m);
  assert.match(status.problems.join('\n'), /^capture of shop\/web was undone$/m);
  assert.match(
    status.problems.join('\n'),
    /^pod shop\/late belongs to the mesh and is not in it: no process of it is found/m,
  );
  assert.match(status.problems.join('\n'), /^the join token ends soon$/m);
  assert.match(status.problems.join('\n'), /^manifest refused: a\.yaml:3$/m);
  assert.equal(status.mesh.rejectedTotal, 3);
});

test('status: tunnels are told with their pods, who are listed once for them all', async () => {
  const made = makeRoutes();
  const tunnel = {
    direction: 'inbound',
    local: 'spiffe://b',
    peer: 'spiffe://a',
    remote: { address: '192.0.2.7', port: 15_008 },
    streams: 1,
    streamsTotal: 2n,
    establishedMs: 1000n,
    notAfterMs: 2000n,
    draining: false,
  } as const;
  made.engine.snapshot = { ...made.engine.snapshot, tunnels: [7, 8, 7].map((pod) => ({ ...tunnel, pod })) };
  const { tunnels } = (await call('GET', '/status', made)) as StatusFacts;
  assert.deepEqual(
    tunnels.map(({ pod }) => pod),
    ['shop/web', '', 'shop/web'],
  );
  assert.equal(made.podLists(), 1);
});

test('status: what was rejected is told with what it does', async () => {
  const made = makeRoutes();
  const addresses = ['10.96.0.1', '10.96.0.2', '10.96.0.3', '10.96.0.4', '10.96.0.5'];
  made.mesh.apply({
    workloads: [aWorkload('db', '10.0.0.2')],
    rejected: [
      {
        kind: 'service',
        name: 'shop/new',
        reason: 'weighted_waypoints: not served by this version',
        addresses: addresses.map((address) => ({ network: '', address, prefixLength: 32 })),
      },
      { kind: 'workload', name: aWorkload('db', '').uid, reason: 'capacity', addresses: [] },
      { kind: 'policy', name: 'shop/p', reason: 'field 15', addresses: [], scope: 'shop' },
      { kind: 'policy', name: 'root/p', reason: 'field 15', addresses: [], scope: '' },
      { kind: 'policy', name: 'shop/q', reason: 'field 15', addresses: [] },
    ],
  });
  const { problems } = (await call('GET', '/status', made)) as StatusFacts;
  const told = problems.filter((one) => one.includes('was rejected'));
  assert.deepEqual(told, [
    'service shop/new was rejected: weighted_waypoints: not served by this version; connections to 10.96.0.1/32, 10.96.0.2/32, 10.96.0.3/32, 10.96.0.4/32 and more are refused',
    `workload ${aWorkload('db', '').uid} was rejected: capacity; its last good form stays in force`,
    'policy shop/p was rejected: field 15; workloads of namespace shop let nobody in',
    'policy root/p was rejected: field 15; no workload lets anybody in',
    'policy shop/q was rejected: field 15; a workload that names it lets nobody in',
  ]);
  const many = Array.from({ length: 30 }, (_, i) => ({ ...REJECTED, name: `shop/s${i}` }));
  made.mesh.apply({ rejected: many });
  const more = (await call('GET', '/status', made)) as StatusFacts;
  assert.match(more.problems.join('\n'), /15 more resources were rejected; the log names them/);
});

test('connections: a row names the pod, the hop, the peer and the policy', async () => {
  const [row] = (await call('GET', '/connections')) as readonly Record<string, unknown>[];
  assert.equal(row?.['pod'], 'shop/web');
  assert.equal(row?.['policy'], 'shop/allow');
  assert.equal(row?.['source'], '[fd00::9]:1');
  assert.equal(row?.['bytesReceived'], 20);
});

test('config_dump: connections are filed under their pod', async () => {
  const dump = (await call('GET', '/config_dump')) as {
    workloadState: Record<string, { state: string; connections: { inbound: unknown[] } }>;
  };
  assert.equal(dump.workloadState['uid-1']?.state, 'Up');
  assert.deepEqual(dump.workloadState['uid-1']?.connections.inbound, [
    { src: '[fd00::9]:1', originalDst: '10.0.0.1:80', actualDst: '10.0.0.1:8080', protocol: 'HBONE' },
  ]);
});

test('explain: asks the decision functions and says what they looked at', async () => {
  const inbound = (await call('GET', '/explain?direction=inbound&from=192.0.2.5&address=10.0.0.1&port=80')) as {
    outcome: string;
    lines: string[];
  };
  assert.match(inbound.outcome, /POLICY_UNKNOWN.*shop\/missing/);
  assert.ok(inbound.lines.includes('looked at: policy/shop/missing'));
  const outbound = (await call('GET', '/explain?from=shop/web&address=198.51.100.1&port=443')) as {
    outcome: string;
    lines: string[];
  };
  assert.equal(outbound.outcome, 'goes 1 way');
  assert.match(outbound.lines.join('\n'), /passthrough to 198\.51\.100\.1:443/);
});

test('explain: names are resolved, mapped addresses are what they stand for, and every policy is told', async () => {
  const made = makeRoutes();
  const { mesh } = made;
  const rules = [{ clauses: [{ matches: [aMatch({ destinationPorts: [80] })] }, { matches: [] }] }];
  mesh.apply({
    services: [aService('db', '10.96.0.9')],
    workloads: [aWorkload('db', '10.0.0.2')],
    policies: [
      aPolicy('eighty', { destinationPorts: [80] }, { action: 'DENY' }),
      aPolicy('trial', {}, { action: 'DENY', dryRun: true, rules }),
    ],
  });
  const outbound = (await call('GET', '/explain?from=shop/web&address=db.shop&port=80', made)) as ExplainAnswer;
  assert.match(outbound.lines[1] ?? '', /^destination: 10\.96\.0\.9:80 \(service shop\/db/);
  const inbound = (await call(
    'GET',
    '/explain?direction=inbound&from=::ffff:192.0.2.5&address=::ffff:10.0.0.2&port=81',
    made,
  )) as ExplainAnswer;
  assert.match(inbound.lines[0] ?? '', /^source: 192\.0\.2\.5, outside the mesh/);
  assert.ok(inbound.lines.includes('policy shop/eighty (DENY): does not match'), inbound.lines.join('\n'));
  assert.ok(inbound.lines.includes('policy shop/trial (DENY, dry run: reported only): does not match'));
  assert.ok(inbound.lines.includes('  rule 0, clause 0: does not match'));
  assert.ok(inbound.lines.includes('  rule 0, clause 1: matches'));
  assert.equal(inbound.outcome, 'allowed: no ALLOW policy selects the destination');
});

test('explain: outbound says whether the destination lets the connection in, or who knows', () => {
  const strict = 'istio-system/istio_converted_static_strict';
  const noIdentity = { notPrincipals: [{ kind: 'presence' }] } as const;
  const plain = { tunnelProtocol: 'NONE' } as const;
  const mesh = aStore({
    workloads: [
      aWorkload('client', '10.0.0.1'),
      aWorkload('plain', '10.0.0.3', plain),
      aWorkload('strict', '10.0.0.4', { ...serving('web'), authorizationPolicies: [strict] }),
      aWorkload('closed', '10.0.0.5', { ...serving('web'), authorizationPolicies: ['shop/groundwire_unreadable_p'] }),
      aWorkload('far', '10.0.0.6', { ...serving('web'), node: 'n2' }),
      aWorkload('lone', '10.0.0.7', plain),
    ],
    services: [aService('web', '10.96.0.9', { ports: [port(80, 8080)] })],
    policies: [
      aPolicy('istio_converted_static_strict', noIdentity, {
        namespace: 'istio-system',
        scope: 'WORKLOAD_SELECTOR',
        action: 'DENY',
      }),
      aPolicy('groundwire_unreadable_p', {}, { scope: 'WORKLOAD_SELECTOR', action: 'DENY', rules: [{ clauses: [] }] }),
    ],
  });
  const here = localPods({ client: 'handoff', strict: 'handoff', closed: 'handoff' });
  const ask = (from: string, address: string, direction: 'outbound' | 'inbound' = 'outbound') => {
    const { outcome, lines } = formatDecision(mesh, here, { direction, from, to: { address, port: 80 } });
    return `${outcome}\n${lines.join('\n')}`;
  };
  const invalid = /The manifest of AuthorizationPolicy p is invalid, so all of its scope is denied/;
  assert.match(ask('shop/client', '10.0.0.4'), /^goes 1 way: let in\n[^]*\n {2}there allowed: no ALLOW policy/);
  assert.match(ask('shop/client', '10.0.0.5'), /^goes 1 way, and there is refused: .*POLICY_DENIED.*unreadable_p/);
  assert.match(ask('shop/client', '10.0.0.5'), invalid);
  assert.match(ask('shop/client', '10.0.0.5', 'inbound'), invalid);
  assert.match(
    ask('shop/client', '10.0.0.6'),
    /^goes 1 way: decided on another node\n[^]*node n2 decides; ask there: groundwire explain --direction inbound --from shop\/client --to 10\.0\.0\.6:80/,
  );
  assert.match(ask('shop/client', 'web.shop'), /^goes 3 ways: 1 let in, 1 refused, 1 decided on another node\n/);
  assert.match(ask('shop/client', '10.0.0.7'), /^goes 1 way\n[^]*not in the mesh: no policy holds there/);
  const past = ask('shop/plain', 'web.shop');
  assert.match(past, /^shop\/plain is not captured: its connections go past the mesh, in plaintext; the destination/);
  assert.match(past, /plaintext, at 10\.0\.0\.4:8080\n {2}there refused: .*STRICT: plaintext is refused/);
  assert.doesNotMatch(past, /handoff|spiffe:.*weight/);
});

test('explain: a bad question is 400, an unknown source 404', async () => {
  for (const garbage of ['10.0.0.999', 'no-such.shop', '', '10.0.0.1/8']) {
    await assert.rejects(
      call('GET', `/explain?from=shop/web&address=${encodeURIComponent(garbage)}&port=80`),
      (error) => error instanceof HttpError && error.status === 400 && /neither an IP address nor/.test(error.message),
    );
  }
  await assert.rejects(
    call('GET', '/explain?direction=inbound&from=shop/web&address=web&port=80'),
    /not an IP address/,
  );
  await assert.rejects(call('GET', '/explain?from=garbage&address=10.0.0.1&port=80'), /neither NAMESPACE\/POD nor/);
  const status = (code: number) => (error: unknown) => error instanceof HttpError && error.status === code;
  await assert.rejects(call('GET', '/explain?from=shop/web'), status(400));
  await assert.rejects(call('GET', '/explain?direction=sideways&from=shop/web&address=10.0.0.1&port=80'), status(400));
  await assert.rejects(call('GET', '/explain?from=shop/nobody&address=10.0.0.1&port=80'), status(404));
});

test('logging: the level changes while the agent runs, and nonsense changes nothing', async () => {
  const made = makeRoutes();
  assert.deepEqual(await call('POST', '/logging?level=debug', made), { level: 'debug' });
  await assert.rejects(call('POST', '/logging?level=shout', made), /must be one of/);
  assert.equal(made.log.level, 'debug');
});

test('readiness: a node without configuration, with a pod on its way, or without any certificate is not ready', () => {
  const ready = { hasMesh: true, isMoving: false, hasNoCertificate: false };
  assert.deepEqual(pendingTasks(ready), []);
  assert.deepEqual(pendingTasks({ ...ready, hasNoCertificate: true }), ['certificate manager']);
  assert.deepEqual(pendingTasks({ hasMesh: false, isMoving: true, hasNoCertificate: false }), [
    'state manager',
    'workload proxy manager',
  ]);
});

test('readiness: 200 when nothing is pending, else 500 with what is', async () => {
  const handle = async (path: string, pending: readonly string[]) =>
    readinessRoutes({ pending })
      .find((route) => route.path === path)
      ?.handle({} as HttpRequest, undefined as never);
  assert.deepEqual(await handle('/healthz/ready', []), { status: 200, text: 'ready\n' });
  assert.deepEqual(await handle('/healthz/ready', ['state manager', 'proxy']), {
    status: 500,
    text: 'not ready, pending: state manager, proxy\n',
  });
  assert.deepEqual(await handle('/healthz/live', ['state manager']), { status: 200, text: 'live\n' });
});
