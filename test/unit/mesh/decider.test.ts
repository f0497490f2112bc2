// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { formatBaggage } from '#src/mesh/baggage.ts';
import { ClientAffinity } from '#src/mesh/client-affinity.ts';
import { Decider, deciderOptions } from '#src/mesh/decider.ts';
import { peerLabelsFor } from '#src/mesh/peer-labels.ts';
import { CONSULTED_ALL } from '#src/mesh/question.ts';
import type { ResolvedName } from '#src/mesh/resolved-name.ts';
import type { MeshDelta } from '#src/mesh/store.ts';
import { MeshStore } from '#src/mesh/store.ts';
import { VerdictLedger } from '#src/mesh/verdicts.ts';
import { dependency } from '#src/mesh/view.ts';
import { ERROR_TABLE } from '#src/model/errors.ts';
import {
  ConsultedFieldBit,
  type InboundAnswer,
  type InboundQuestion,
  type OutboundAnswer,
  type OutboundQuestion,
} from '#src/model/messages.gen.ts';
import type { Workload } from '#src/model/workload.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { aPolicy, aService, aWorkload, localPods, port, serving } from './mesh-fixtures.ts';

const client = aWorkload('client', '10.0.0.1');
const web = aWorkload('web', '10.0.0.2', serving('web'));
const webService = aService('web', '10.96.0.1');
const labels = { internFlow: () => 7, internPeer: () => 9 };
const UIDS: Readonly<Record<number, string>> = { 1: client.uid, 2: web.uid };

function setUp(
  delta: MeshDelta = { workloads: [client, web], services: [webService] },
  options = { unknownWorkloadWaitMs: 5000, pendingMax: 2 },
) {
  const store = new MeshStore();
  store.apply(delta);
  const clock = { nowMs: 0 };
  const pods = { ...localPods({ client: 'handoff', web: 'handoff' }), findWorkloadUid: (pod: number) => UIDS[pod] };
  const ledger = new VerdictLedger();
  const wanted: string[] = [];
  const manual = new ManualClock();
  const lapsed: string[] = [];
  const affinity = new ClientAffinity(
    manual,
    () => 0,
    (keys) => lapsed.push(...keys),
  );
  const parts = { view: store, pods, labels, ledger, affinity, resolveName: (name: string) => wanted.push(name) };
  const decider = new Decider({ ...parts, nowMs: () => clock.nowMs }, options);
  return { store, clock, ledger, decider, wanted, manual, lapsed };
}

const outbound = (fields: Partial<OutboundQuestion> = {}): OutboundQuestion => ({
  kind: 'OutboundQuestion',
  question: 1n,
  pod: 1,
  originalDst: { address: '10.96.0.1', port: 80 },
  ...fields,
});
const inbound = (fields: Partial<InboundQuestion> = {}): InboundQuestion => ({
  kind: 'InboundQuestion',
  question: 2n,
  pod: 2,
  security: 'mutual_tls',
  identity: 'spiffe://cluster.local/ns/shop/sa/client',
  source: { address: '10.0.0.1', port: 5000 },
  destination: { address: '10.0.0.2', port: 8080 },
  authority: '',
  service: '',
  ...fields,
});
const number = (code: keyof typeof ERROR_TABLE) => ERROR_TABLE[code].number;

test('Decider: an outbound answer carries the route, the handles and the words for the wire', () => {
  const { decider } = setUp();
  assert.deepEqual(decider.decide([outbound()]).answers, [
    {
      kind: 'OutboundAnswer',
      question: 1n,
      verdict: 1n,
      code: 0,
      flowLabel: 7,
      choices: [
        {
          kind: 'handoff',
          weight: 1,
          nextHop: { address: '10.0.0.2', port: 8080 },
          hboneAuthority: '10.0.0.2:8080',
          upstreamIdentities: ['spiffe://cluster.local/ns/shop/sa/web'],
          destinationPod: 2,
          flowLabel: 7,
        },
      ],
      baggage:
        'k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=client,service.name=client,service.version=v1',
      serviceHostname: 'web.shop.svc.cluster.local',
      keptMs: 0,
    },
  ]);
});

test('Decider: a change invalidates the answers that read it and no other', () => {
  const { store, decider } = setUp();
  const [first, second] = decider.decide([
    outbound(),
    outbound({ question: 2n, originalDst: { address: '1.1.1.1', port: 53 } }),
  ]).answers;
  const { keys } = store.apply({ workloads: [{ ...web, status: 'UNHEALTHY' }] });
  assert.deepEqual(decider.applyChange(keys).invalidated, [first?.verdict]);
  assert.deepEqual(decider.applyChange(new Set([dependency.pod(client.uid)])).invalidated, [second?.verdict]);
});

test('Decider: a question about a pod that is not known yet waits and is answered when it arrives', () => {
  const { store, decider } = setUp({ workloads: [web], services: [webService] });
  assert.deepEqual(decider.decide([outbound()]).answers, []);
  assert.equal(decider.nextDeadlineMs, 5000);
  const { keys } = store.apply({ workloads: [client] });
  assert.deepEqual(
    decider.applyChange(keys).answers.map(({ question, code }) => [question, code]),
    [[1n, 0]],
  );
  assert.equal(decider.pendingCount, 0);
});

test('Decider: fails closed when the deadline of an unknown pod passes, and is overturned when it arrives later', () => {
  const { store, clock, decider } = setUp({});
  decider.decide([outbound(), inbound()]);
  clock.nowMs = 4999;
  assert.deepEqual(decider.expirePending().answers, []);
  clock.nowMs = 5000;
  const { answers } = decider.expirePending();
  assert.deepEqual(
    answers.map(({ code }) => code),
    [number('UNKNOWN_SOURCE'), number('UNKNOWN_DESTINATION_WORKLOAD')],
  );
  const { keys } = store.apply({ workloads: [client] });
  assert.deepEqual(decider.applyChange(keys).invalidated, [answers[0]?.verdict]);
});

test('Decider: a pod has as many waiting questions as are left, so that another finds room; beyond it refuses at once', () => {
  const { clock, decider } = setUp({}, { unknownWorkloadWaitMs: 5000, pendingMax: 4 });
  const ofOne = [1n, 2n, 3n].map((question) => outbound({ question }));
  const { answers } = decider.decide([...ofOne, inbound({ question: 4n })]);
  assert.deepEqual(
    answers.map(({ question, code }) => [question, code]),
    [[3n, number('UNKNOWN_SOURCE')]],
  );
  assert.equal(decider.pendingCount, 3);
  clock.nowMs = 5000;
  decider.expirePending();
  assert.deepEqual(decider.decide([outbound({ question: 5n })]).answers, []);
});

test('Decider: a pod that is gone is refused, and a CONNECT to it has a status', () => {
  const { decider } = setUp();
  const { answers } = decider.decide([outbound({ pod: 99 }), inbound({ pod: 99, question: 2n })]);
  assert.deepEqual(
    answers.map(({ code }) => code),
    [number('POD_REMOVED'), number('POD_REMOVED')],
  );
  assert.equal(ERROR_TABLE.POD_REMOVED.connectStatus, 503);
});

test('Decider: an evicted verdict is given to the engine to forget', () => {
  const { store } = setUp();
  const pods = { ...localPods({}), findWorkloadUid: (pod: number) => UIDS[pod] };
  const affinity = new ClientAffinity(
    new ManualClock(),
    () => 0,
    () => {},
  );
  const ledger = new VerdictLedger(1);
  const decider = new Decider({ view: store, pods, labels, ledger, affinity, resolveName: () => {}, nowMs: () => 0 });
  assert.deepEqual(decider.decide([outbound(), outbound({ question: 2n })]).invalidated, [1n]);
});

const allowClient = aPolicy('allow', { principals: [{ kind: 'exact', value: 'cluster.local/ns/shop/sa/client' }] });
const portsOnly = ConsultedFieldBit.destinationPort | ConsultedFieldBit.authority;
// Whoever proved an identity has an answer for it alone: metrics are to tell who came.
const proven = portsOnly | ConsultedFieldBit.identity;
const inboundTable: readonly {
  readonly claim: string;
  readonly delta?: MeshDelta;
  readonly question: Partial<InboundQuestion>;
  readonly want: Partial<InboundAnswer>;
}[] = [
  {
    claim: 'without policy it is delivered, whoever it is',
    question: {},
    want: { code: 0, deliverPort: 8080, consulted: proven, flowLabel: 7 },
  },
  {
    claim: 'plaintext too',
    question: { security: 'none', identity: '' },
    want: { code: 0, deliverPort: 8080, consulted: portsOnly },
  },
  {
    claim: 'an identity policy makes the identity count',
    delta: { policies: [allowClient] },
    question: {},
    want: { code: 0, consulted: proven },
  },
  {
    claim: 'another identity is refused at each port of its Services by itself, so that each is counted for its own',
    delta: { policies: [allowClient] },
    question: { identity: 'spiffe://cluster.local/ns/shop/sa/x' },
    want: { code: number('POLICY_NOT_ALLOWED'), consulted: proven, deliverPort: 0 },
  },
  {
    claim: 'another identity is refused at any port of a pod that serves no Service',
    delta: { workloads: [{ ...web, services: new Map() }], policies: [allowClient] },
    question: { identity: 'spiffe://cluster.local/ns/shop/sa/x' },
    want: { code: number('POLICY_NOT_ALLOWED'), consulted: ConsultedFieldBit.identity, deliverPort: 0 },
  },
  {
    claim: 'an identity claimed in plaintext is no identity',
    delta: { policies: [allowClient] },
    question: { security: 'none' },
    want: { code: number('POLICY_NOT_ALLOWED') },
  },
  {
    claim: 'an identity of another form proves nothing',
    delta: { policies: [allowClient] },
    question: { identity: 'spiffe://x' },
    want: { code: number('POLICY_NOT_ALLOWED'), consulted: proven },
  },
  {
    claim: 'a CONNECT to a foreign address is refused',
    question: { destination: { address: '10.0.0.9', port: 80 } },
    want: { code: number('HBONE_WRONG_ADDRESS'), consulted: CONSULTED_ALL },
  },
  {
    claim: 'the HBONE port is the agent’s',
    question: { destination: { address: '10.0.0.2', port: 15008 } },
    want: { code: number('ILLEGAL_DESTINATION') },
  },
  {
    claim: 'ports of ztunnel are as good as any for an application',
    question: { destination: { address: '10.0.0.2', port: 15006 } },
    want: { code: 0, deliverPort: 15006 },
  },
  {
    claim: 'a named destination becomes the target port',
    question: { authority: 'web.shop.svc.cluster.local:80' },
    want: { code: 0, deliverPort: 8080, consulted: proven },
  },
  {
    claim: 'a named destination in capitals',
    question: { authority: 'WEB.shop.svc.cluster.local:80' },
    want: { code: 0, deliverPort: 8080 },
  },
  {
    claim: 'a name of a Service that the pod does not serve',
    question: { authority: 'db.shop.svc.cluster.local:80' },
    want: { code: number('UNKNOWN_SERVICE') },
  },
  {
    claim: 'a name that is not written in full',
    question: { authority: 'web.shop:80' },
    want: { code: number('UNKNOWN_SERVICE') },
  },
  {
    claim: 'a port that the Service does not have',
    question: { authority: 'web.shop.svc.cluster.local:81' },
    want: { code: number('UNKNOWN_SERVICE_PORT') },
  },
  {
    claim: 'a named port that the pod does not know',
    question: { authority: 'web.shop.svc.cluster.local:443' },
    want: { code: number('UNKNOWN_SERVICE_PORT') },
  },
  { claim: 'an authority that is none', question: { authority: 'x' }, want: { code: number('UNKNOWN_SERVICE') } },
  {
    claim: 'policy sees the port of the pod, not that of the Service',
    delta: { policies: [aPolicy('d', { destinationPorts: [8080] }, { action: 'DENY' })] },
    question: { authority: 'web.shop.svc.cluster.local:80' },
    want: { code: number('POLICY_DENIED'), consulted: proven },
  },
  {
    claim: 'fails closed when a rule looks at one of two addresses of the pod',
    delta: {
      workloads: [{ ...web, addresses: ['10.0.0.2', '10.0.0.3'] }],
      policies: [aPolicy('d', { destinationIps: [{ address: '10.0.0.3', prefixLength: 32 }] }, { action: 'DENY' })],
    },
    question: {},
    want: { code: number('POLICY_DENIED'), consulted: proven | ConsultedFieldBit.sourceAddress },
  },
];
for (const { claim, delta, question, want } of inboundTable) {
  test(`Decider: inbound: ${claim}`, () => {
    const { store, decider } = setUp();
    if (delta) assert.deepEqual(store.apply(delta).rejected, []);
    const [answer] = decider.decide([inbound(question)]).answers;
    assert.deepEqual({ ...answer, ...want }, answer);
  });
}

test('Decider: a live connection is asked about again when a policy comes, and is refused by name', () => {
  const { store, decider } = setUp();
  const [first] = decider.decide([inbound()]).answers;
  const { keys } = store.apply({ policies: [aPolicy('d', { destinationPorts: [8080] }, { action: 'DENY' })] });
  assert.deepEqual(decider.applyChange(keys).invalidated, [first?.verdict]);
  const [second] = decider.decide([inbound()]).answers;
  assert.equal(second?.code, number('POLICY_DENIED'));
  assert.equal(decider.findPolicy(second?.verdict ?? 0n), 'shop/d');
});

test('Decider: dry-run policies are told and change nothing', () => {
  const { store, decider } = setUp();
  store.apply({ policies: [aPolicy('d', { destinationPorts: [8080] }, { action: 'DENY', dryRun: true })] });
  const { answers, dryRunMatches } = decider.decide([inbound()]);
  assert.deepEqual([answers[0]?.code, dryRunMatches], [0, ['shop/d']]);
});

test('Decider: a Service that a name needs overturns its refusal', () => {
  const { store, decider } = setUp();
  const [refused] = decider.decide([inbound({ authority: 'new.example:80' })]).answers;
  const { keys } = store.apply({
    services: [aService('new', undefined, { hostname: 'new.example', ports: [port(80, 80)] })],
  });
  assert.deepEqual(decider.applyChange(keys).invalidated, [refused?.verdict]);
});

test('formatBaggage: empty members are left out and no value can break the header', () => {
  const odd = {
    ...client,
    workloadName: 'a,b\r\nx: y',
    canonicalRevision: '',
    clusterId: '',
    locality: { region: 'r', zone: '', subzone: '' },
  };
  assert.equal(
    formatBaggage(odd),
    'k8s.namespace.name=shop,k8s.deployment.name=a%2Cb%0D%0Ax%3A%20y,service.name=client,cloud.region=r',
  );
});

test('peerLabelsFor: addresses that changed get the label of who has them now, or 0', () => {
  const { store } = setUp();
  const { keys } = store.apply({ workloads: [{ ...client, canonicalName: 'renamed' }], removedAddresses: [web.uid] });
  const peers = peerLabelsFor(store, '', keys, labels);
  assert.deepEqual(
    peers.sort((a, b) => a.label - b.label),
    [
      { address: '10.0.0.2', label: 0 },
      { address: '10.0.0.1', label: 9 },
    ],
  );
  assert.deepEqual(peerLabelsFor(store, 'other', keys, labels), []);
});

test('Decider: answers have the shape of the question they answer', () => {
  const { decider } = setUp();
  const { answers } = decider.decide([inbound(), outbound()]);
  const [first, second] = answers as [InboundAnswer, OutboundAnswer];
  assert.deepEqual([first.kind, second.kind], ['InboundAnswer', 'OutboundAnswer']);
});

test('a question about an unknown pod is refused before the engine gives up on it', () => {
  assert.equal(deciderOptions(5_000).unknownWorkloadWaitMs, 4_500);
  assert.equal(deciderOptions(60_000).unknownWorkloadWaitMs, 5_000);
  assert.equal(deciderOptions(10).unknownWorkloadWaitMs, 5);
});

const external = (fields: Partial<Workload> = {}): Workload => ({
  ...aWorkload('ext', '', {
    addresses: [],
    hostname: 'Ext.example',
    tunnelProtocol: 'NONE',
    node: '',
    ...serving('web'),
  }),
  uid: 'Kubernetes/networking.istio.io/ServiceEntry/shop/ext/ext.example',
  ...fields,
});

test('Decider: an answer that hangs on a name of an endpoint waits for it, and ends with it', () => {
  const { store, decider, wanted, ledger } = setUp({
    services: [aService('web', '10.96.0.1', { ports: [port(80, 443)] })],
    workloads: [aWorkload('client', '10.0.0.1'), external()],
  });
  assert.deepEqual(decider.decide([outbound()]).answers, []);
  assert.deepEqual([wanted, decider.pendingCount], [['ext.example'], 1]);
  const changed = (resolved: ResolvedName | undefined) => {
    let keys: ReadonlySet<string> = new Set();
    const unwatch = store.watch((change) => (keys = change.keys));
    store.setName('ext.example', resolved);
    unwatch();
    return decider.applyChange(keys);
  };
  const hops = ({ answers }: ReturnType<typeof changed>) =>
    answers.map((answer) => (answer.kind === 'OutboundAnswer' ? answer.choices.map(({ nextHop }) => nextHop) : []));
  const found = { kind: 'found', addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'] } as const;
  // Every address of the family that was dialled is a way.
  assert.deepEqual(hops(changed(found)), [
    [
      { address: '192.0.2.1', port: 443 },
      { address: '192.0.2.2', port: 443 },
    ],
  ]);
  assert.deepEqual(changed({ ...found }).invalidated, [], 'the same addresses are no news');
  assert.equal(changed(undefined).invalidated.length, 1, 'what is let go is asked for again');
  assert.equal(ledger.size, 0);
});

test('Decider: a name that cannot be resolved refuses, at once when that is known and else in time', () => {
  const delta = {
    services: [aService('web', '10.96.0.1', { ports: [port(80, 443)] })],
    workloads: [aWorkload('client', '10.0.0.1'), external()],
  };
  for (const resolved of [{ kind: 'none', exists: false }, { kind: 'failed' }] as const) {
    const { store, decider } = setUp(delta);
    store.setName('ext.example', resolved);
    assert.deepEqual(
      decider.decide([outbound()]).answers.map(({ code }) => code),
      [number('UNRESOLVED_NAME')],
    );
  }
  const { decider, clock } = setUp(delta);
  decider.decide([outbound()]);
  clock.nowMs = 5_000;
  assert.deepEqual(
    decider.expirePending().answers.map(({ code }) => code),
    [number('UNRESOLVED_NAME')],
  );
  assert.equal(decider.pendingCount, 0);
});

test('Decider: a client keeps to one endpoint of a Service with affinity, while that serves and it comes back in time', () => {
  const sticky = { externalName: '', exportTo: [], affinityTimeoutSeconds: 10, ports: [] };
  const endpoint = (name: string): Workload =>
    aWorkload(name, `10.0.1.${name.length}`, { node: 'n2', ...serving('web') });
  const { store, decider, manual, lapsed } = setUp({
    services: [aService('web', '10.96.0.1', { ports: [port(80, 8080)], extension: sticky })],
    workloads: [aWorkload('client', '10.0.0.1'), endpoint('b'), endpoint('cc')],
  });
  const choose = (): string[] =>
    decider
      .decide([outbound()])
      .answers.flatMap((answer) =>
        answer.kind === 'OutboundAnswer' ? answer.choices.map(({ nextHop }) => nextHop.address) : [],
      );
  assert.deepEqual(choose(), ['10.0.1.1']);
  store.apply({ workloads: [endpoint('aaa')], removedAddresses: [endpoint('cc').uid] });
  assert.deepEqual(choose(), ['10.0.1.1'], 'it stays while others come and go');
  manual.advance(10_000);
  assert.deepEqual(lapsed, ['affinity/Kubernetes//Pod/shop/client/shop/web.shop.svc.cluster.local']);
  assert.deepEqual(choose(), ['10.0.1.1'], 'it asked again in time');
  store.apply({ removedAddresses: [endpoint('b').uid] });
  assert.deepEqual(choose(), ['10.0.1.3'], 'never with an endpoint that is gone');
});
