// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { decode, encode } from 'dns-packet';
import { EngineDialogue } from '#src/dialogue/engine-dialogue.ts';
import { FakeEngine } from '#src/engine/fake-engine.ts';
import { ClientAffinity } from '#src/mesh/client-affinity.ts';
import { Decider } from '#src/mesh/decider.ts';
import { MeshStore } from '#src/mesh/store.ts';
import { VerdictLedger } from '#src/mesh/verdicts.ts';
import { ERROR_TABLE } from '#src/model/errors.ts';
import type { EngineEvent } from '#src/model/messages.gen.ts';
import type { Authorization } from '#src/model/policy.ts';
import type { PodView } from '#src/pods/pod.ts';
import { LocalPodDirectory } from '#src/pods/pod-directory.ts';
import { FlowLabelTable } from '#src/telemetry/flow-labels.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog } from '../discovery/loopback.ts';
import { aService, aWorkload } from '../mesh/mesh-fixtures.ts';

const DENY_ALL: Authorization = {
  name: 'deny-all',
  namespace: 'shop',
  scope: 'NAMESPACE',
  action: 'ALLOW',
  dryRun: false,
  rules: [],
};

function aPod(name: string, handle: number, address: string): PodView {
  return {
    uid: `uid-${name}`,
    handle,
    spec: { namespace: 'shop', name, serviceAccount: name, labels: {}, annotations: {}, ports: {} },
    sandbox: {
      namespaceName: name,
      netnsPath: `/run/netns/${name}`,
      linkName: name,
      cgroup: '/c',
      addresses: [address],
      hostname: name,
    },
    holder: { pid: 1, startTicks: 1 },
    startedMs: 0,
    captured: true,
    state: { kind: 'captured', sinceMs: 0 },
    inMesh: true,
    oldConnections: { connections: [], closed: false },
    deferred: [],
  };
}

/** Everything between a fake engine and a mesh store, as the agent wires it. */
function makeDialogue() {
  const clock = new ManualClock();
  const engine = new FakeEngine();
  const mesh = new MeshStore();
  const directory = new LocalPodDirectory();
  const labels = new FlowLabelTable();
  const decider = new Decider({
    view: mesh,
    pods: directory,
    labels,
    ledger: new VerdictLedger(),
    affinity: new ClientAffinity(
      clock,
      () => 0,
      () => {},
    ),
    resolveName: () => {},
    nowMs: () => clock.nowMs(),
  });
  const counted: string[] = [];
  const { log, lines } = recordingLog();
  const dialogue = new EngineDialogue({
    engine,
    decider,
    view: mesh,
    directory,
    labels,
    counts: {
      countDecision: (direction, code) => counted.push(`${direction} ${code}`),
      countDryRunMatches: (matches) => counted.push(`dry-run ${matches}`),
      countDns: (_client, _query, outcome) => counted.push(`dns ${outcome}`),
    },
    clock,
    log,
    clusterDomain: 'cluster.local',
    ownsClusterDomain: true,
    names: { ask: () => Promise.resolve({ kind: 'found', addresses: ['192.0.2.7'], ttlSeconds: 9 }) },
    random: () => 0,
  });
  engine.onEvents((events) => dialogue.onEvents(events));
  mesh.watch(({ keys }) => dialogue.onChange(keys));
  const setPods = (...pods: PodView[]) => dialogue.onChange(directory.update('Kubernetes', pods));
  return { clock, engine, mesh, setPods, counted, dialogue, lines };
}

function outbound(question: bigint, pod: number, address: string, port: number): EngineEvent {
  return { kind: 'OutboundQuestion', question, pod, originalDst: { address, port } };
}

function inbound(question: bigint, pod: number, source: string, identity: string): EngineEvent {
  return {
    kind: 'InboundQuestion',
    question,
    pod,
    security: identity === '' ? 'none' : 'mutual_tls',
    identity,
    source: { address: source, port: 40_000 },
    destination: { address: '10.0.0.2', port: 8080 },
    authority: '',
    service: '',
  };
}

test('a question is answered in its turn: within the node by handoff, outside the mesh by passthrough', async () => {
  const { engine, mesh, setPods, counted } = makeDialogue();
  mesh.apply({ workloads: [aWorkload('client', '10.0.0.1'), aWorkload('web', '10.0.0.2')] });
  setPods(aPod('client', 1, '10.0.0.1'), aPod('web', 2, '10.0.0.2'));
  await engine.push([outbound(7n, 1, '10.0.0.2', 8080), outbound(8n, 1, '198.51.100.1', 443)]);
  const [first, second] = engine.answers;
  assert.ok(first?.kind === 'OutboundAnswer' && second?.kind === 'OutboundAnswer');
  assert.deepEqual(
    [first.question, first.code, first.choices[0]?.kind, first.choices[0]?.destinationPod],
    [7n, 0, 'handoff', 2],
  );
  assert.deepEqual([second.question, second.choices[0]?.kind], [8n, 'passthrough']);
  assert.deepEqual(counted, ['outbound 0', 'outbound 0']);
});

test('a change of policy takes back exactly the answers that hang on it, and the next question is refused', async () => {
  const { engine, mesh, setPods } = makeDialogue();
  mesh.apply({ workloads: [aWorkload('client', '10.0.0.1'), aWorkload('web', '10.0.0.2')] });
  setPods(aPod('client', 1, '10.0.0.1'), aPod('web', 2, '10.0.0.2'));
  const identity = 'spiffe://cluster.local/ns/shop/sa/client';
  await engine.push([outbound(1n, 1, '10.0.0.2', 8080), inbound(2n, 2, '10.0.0.1', identity)]);
  const allowed = engine.answers[1];
  assert.ok(allowed?.kind === 'InboundAnswer' && allowed.code === 0);
  mesh.apply({ policies: [DENY_ALL] });
  await turn();
  await turn();
  const taken = engine.commands.filter((command) => command.kind === 'InvalidateVerdicts');
  assert.deepEqual(
    taken.flatMap((command) => command.verdicts),
    [allowed.verdict],
  );
  await engine.push([inbound(3n, 2, '10.0.0.1', identity)]);
  const refused = engine.answers[2];
  assert.ok(refused?.kind === 'InboundAnswer');
  assert.equal(refused.code, ERROR_TABLE.POLICY_NOT_ALLOWED.number);
});

test('fails closed: an answer that the engine did not take back is taken back again until it has', async () => {
  const { engine, mesh, setPods, clock, dialogue } = makeDialogue();
  mesh.apply({ workloads: [aWorkload('client', '10.0.0.1'), aWorkload('web', '10.0.0.2')] });
  setPods(aPod('client', 1, '10.0.0.1'), aPod('web', 2, '10.0.0.2'));
  const identity = 'spiffe://cluster.local/ns/shop/sa/client';
  await engine.push([inbound(1n, 2, '10.0.0.1', identity), inbound(2n, 2, '10.0.0.3', '')]);
  const verdicts = engine.answers.flatMap((answer) => (answer.kind === 'InboundAnswer' ? [answer.verdict] : []));
  const recalled = () =>
    engine.commands.flatMap((command) => (command.kind === 'InvalidateVerdicts' ? [...command.verdicts] : []));
  engine.failNext('InvalidateVerdicts', 'broadcast', 12);
  engine.failNext('InvalidateVerdicts', 'broadcast', 12);
  mesh.apply({ policies: [DENY_ALL] });
  await turn();
  await turn();
  assert.deepEqual(recalled(), []);
  assert.equal(dialogue.recall.owed, 2);
  clock.advance(1000);
  await turn();
  await turn();
  assert.equal(dialogue.recall.counters.failed, 2);
  // What becomes void meanwhile goes out together with what is owed.
  await engine.push([inbound(3n, 2, '10.0.0.1', identity)]);
  const third = engine.answers.at(-1);
  assert.ok(third?.kind === 'InboundAnswer');
  mesh.apply({ removedPolicies: ['shop/deny-all'] });
  await turn();
  await turn();
  assert.deepEqual(new Set(recalled()), new Set([...verdicts, third.verdict]));
  assert.equal(dialogue.recall.owed, 0);
});

test('a dry-run policy that matches is counted each time and told rarely', async () => {
  const { engine, mesh, setPods, clock, counted, lines } = makeDialogue();
  const any = { ...DENY_ALL, name: 'trial', action: 'DENY' as const, dryRun: true, rules: [{ clauses: [] }] };
  mesh.apply({ workloads: [aWorkload('web', '10.0.0.2')], policies: [any] });
  setPods(aPod('web', 2, '10.0.0.2'));
  for (const question of [1n, 2n, 3n]) await engine.push([inbound(question, 2, '10.0.0.9', '')]);
  clock.advance(60_000);
  await engine.push([inbound(4n, 2, '10.0.0.9', '')]);
  assert.equal(counted.filter((one) => one === 'dry-run 1').length, 4);
  assert.deepEqual(
    lines.filter(({ message }) => message.startsWith('dry-run')).map(({ fields }) => fields),
    [
      { policy: 'shop/trial', unsaid: 0 },
      { policy: 'shop/trial', unsaid: 2 },
    ],
  );
});

test('a pod that is captured or let go changes the way to it', async () => {
  const { engine, mesh, setPods } = makeDialogue();
  mesh.apply({ workloads: [aWorkload('client', '10.0.0.1'), aWorkload('web', '10.0.0.2')] });
  setPods(aPod('client', 1, '10.0.0.1'), aPod('web', 2, '10.0.0.2'));
  await engine.push([outbound(1n, 1, '10.0.0.2', 8080)]);
  const [before] = engine.answers;
  setPods(aPod('client', 1, '10.0.0.1'), {
    ...aPod('web', 2, '10.0.0.2'),
    state: { kind: 'uncaptured', reason: 'not labelled' },
  });
  await turn();
  await turn();
  assert.ok(before?.kind === 'OutboundAnswer');
  assert.ok(
    engine.commands.some(
      (command) => command.kind === 'InvalidateVerdicts' && command.verdicts.includes(before.verdict),
    ),
  );
});

test('fails closed: a pod that the mesh does not know waits, and is refused when its time is over', async () => {
  const { engine, clock, setPods } = makeDialogue();
  setPods(aPod('client', 1, '10.0.0.1'));
  await engine.push([outbound(1n, 1, '198.51.100.1', 443)]);
  assert.equal(engine.answers.length, 0);
  clock.advance(5001);
  const [answer] = engine.answers;
  assert.ok(answer?.kind === 'OutboundAnswer');
  assert.equal(answer.code, ERROR_TABLE.UNKNOWN_SOURCE.number);
});

test('a waiting question is answered when the control plane sends the pod', async () => {
  const { engine, mesh, setPods } = makeDialogue();
  setPods(aPod('client', 1, '10.0.0.1'));
  await engine.push([outbound(1n, 1, '198.51.100.1', 443)]);
  mesh.apply({ workloads: [aWorkload('client', '10.0.0.1')] });
  const [answer] = engine.answers;
  assert.ok(answer?.kind === 'OutboundAnswer' && answer.code === 0);
});

test('peers: the engine learns whose an address is, and unlearns it', async () => {
  const { engine, mesh } = makeDialogue();
  mesh.apply({ workloads: [aWorkload('web', '10.0.0.2')] });
  await turn();
  await turn();
  assert.ok((engine.peers.get('10.0.0.2') ?? 0) > 0);
  mesh.apply({ removedAddresses: ['Kubernetes//Pod/shop/web'] });
  await turn();
  await turn();
  assert.equal(engine.peers.has('10.0.0.2'), false);
});

test('DNS: names of the mesh are answered, others are forwarded, garbage is not answered at all', async () => {
  const { engine, mesh, setPods, counted } = makeDialogue();
  mesh.apply({
    workloads: [aWorkload('client', '10.0.0.1')],
    services: [aService('web', '10.96.0.7'), aService('api', '240.0.0.1', { hostname: 'api.example.com' })],
  });
  setPods(aPod('client', 1, '10.0.0.1'));
  const ask = (query: bigint, message: Uint8Array, pod = 1): EngineEvent => ({
    kind: 'DnsQuery',
    query,
    pod,
    transport: 'udp',
    source: { address: '10.0.0.1', port: 1 },
    server: { address: '10.96.0.10', port: 53 },
    message,
  });
  const name = (text: string, type: 'A' | 'MX' | 'TXT' = 'A') =>
    encode({ type: 'query', id: 9, questions: [{ type, name: text, class: 'IN' }] });
  await engine.push([
    ask(1n, name('web')),
    ask(2n, name('example.com')),
    ask(3n, new Uint8Array(4)),
    ask(4n, name('web'), 99),
  ]);
  await engine.push([ask(5n, name('example.com.shop.svc.cluster.local'))]);
  await engine.push([ask(6n, name('web.shop.svc.cluster.local', 'TXT'))]);
  await engine.push([ask(7n, name('api.example.com.shop.svc.cluster.local', 'MX'))]);
  const answers = engine.answers.filter((answer) => answer.kind === 'DnsAnswer');
  assert.deepEqual(
    answers.map((answer) => answer.query),
    [1n, 2n, 4n, 5n, 6n, 7n],
  );
  const messageOf = (index: number) => {
    const outcome = answers[index]?.outcome;
    return outcome?.kind === 'DnsReply' ? outcome.message : undefined;
  };
  const [found] = decode(Buffer.from(messageOf(0) ?? [])).answers ?? [];
  assert.ok(found?.type === 'A');
  assert.equal(found.data, '10.96.0.7');
  // With the label under which each query was counted.
  assert.deepEqual(answers[1]?.outcome, { kind: 'DnsForward', label: 2 });
  assert.deepEqual(answers[2]?.outcome, { kind: 'DnsForward', label: 4 });
  const read = (index: number) => {
    return decode(Buffer.from(messageOf(index) ?? [])) as ReturnType<typeof decode> & { rcode?: string };
  };
  assert.equal(read(3).rcode, 'NXDOMAIN', 'a search list ends at once');
  for (const index of [4, 5]) {
    const { rcode, answers: records } = read(index);
    assert.deepEqual([rcode, records], ['NOERROR', []], 'the name is there, records of that type are not');
  }
  const answer = 'dns answer';
  assert.deepEqual(counted, [answer, 'dns forward', 'dns drop', 'dns forward', answer, answer, answer]);
});
