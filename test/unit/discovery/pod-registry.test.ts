// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { PodRegistryClient } from '#src/discovery/pod-registry-client.ts';
import { PodRegistryServer } from '#src/discovery/pod-registry-server.ts';
import type { CaptureDecision, ReportedPod } from '#src/discovery/pod-report.ts';
import { TokenKeeper } from '#src/identity/token-keeper.ts';
import { type Clock, systemClock } from '#src/model/clock.ts';
import { type NodeInstruction, type NodeReport, PodRegistryService } from '#src/wire/groundwire/pods.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { Loopback, recordingLog, temporaryFolder, until } from './loopback.ts';

const MINUTE_MS = 60_000;
const LINE_MAX_MS = 72 * 60 * MINUTE_MS;

function pod(name: string, more: Partial<ReportedPod> = {}): ReportedPod {
  return {
    uid: `uid-${name}`,
    name,
    namespace: 'shop',
    serviceAccount: 'web',
    labels: { app: name },
    annotations: {},
    ips: ['10.206.0.2'],
    containerPorts: [{ name: 'http', port: 80 }],
    captured: false,
    terminating: false,
    subdomain: '',
    ...more,
  };
}

async function openRegistry(t: TestContext) {
  const loopback = await Loopback.open(t);
  const clock = new ManualClock();
  const told: string[] = [];
  const server = new PodRegistryServer({
    callerOf: (metadata) => loopback.authentication.callerOf(metadata),
    welcome: (node) => ({ trustDomain: 'cluster.local', clusterId: 'Kubernetes', podCidrs: [`cidr of ${node}`] }),
    renewToken: (node, last) => loopback.tokens.renew(node, last, LINE_MAX_MS),
    tokenNoticeMs: LINE_MAX_MS / 4,
    onChange: () => {},
    graceMs: 30_000,
    forgetMs: 600_000,
    onNodeLost: (node, sinceMs) => told.push(`${node} lost since ${sinceMs}`),
    onNodeForgotten: (node) => told.push(`${node} forgotten`),
    clock,
    log: loopback.recorded.log,
  });
  t.after(() => server.close());
  await loopback.serve(server);
  return { loopback, clock, server, told };
}

function attach(
  t: TestContext,
  loopback: Loopback,
  pods: ReportedPod[],
  node = 'a',
  tokenNode = node,
  clock: Clock = systemClock,
) {
  const welcomes: string[] = [];
  const decisions: CaptureDecision[] = [];
  const rejected: string[] = [];
  const problems: (readonly string[])[] = [];
  const client = new PodRegistryClient({
    controlPlane: loopback.controlPlane(tokenNode),
    node,
    addresses: ['192.0.2.1'],
    snapshot: () => pods,
    onWelcome: ({ podCidrs }) => welcomes.push(...podCidrs),
    onDecision: (decision) => decisions.push(decision),
    onRejected: (uid, reason) => rejected.push(`${uid}: ${reason}`),
    onProblems: (list) => problems.push(list),
    openTokenLine: () => () => true,
    clock,
    log: loopback.recorded.log,
  });
  t.after(() => client.close());
  client.open();
  return { client, welcomes, decisions, rejected, problems };
}

test('pod registry: what is wrong with the mesh reaches every node, when it attaches and when it changes', async (t) => {
  const { loopback, server } = await openRegistry(t);
  server.tellProblems(['a.yaml:1: refused']);
  const first = attach(t, loopback, []);
  await until('the list at the welcome', () => first.problems.length === 1);
  server.tellProblems(['a.yaml:1: refused']);
  server.tellProblems([]);
  await until('the change', () => first.problems.length === 2);
  assert.deepEqual(first.problems, [['a.yaml:1: refused'], []]);
  const second = attach(t, loopback, [], 'b');
  await until('the list of the second node', () => second.problems.length === 1);
  assert.deepEqual(second.problems, [[]]);
});

const DECISION: CaptureDecision = {
  uid: 'uid-one',
  capture: true,
  sameNodeMode: 'tunnel',
  existingConnections: 'close',
  dnsCapture: true,
  reason: 'namespace label',
  notices: ['mind the gap'],
};

test('pod registry: pods come with the snapshot and by change, decisions reach their node once', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const pods = [pod('one')];
  const { client, welcomes, decisions } = attach(t, loopback, pods);
  await until('the snapshot', () => server.pods().length === 1);
  assert.deepEqual(server.pods(), [{ ...pod('one'), node: 'a' }]);
  assert.deepEqual(welcomes, ['cidr of a']);
  server.decide(DECISION);
  server.decide({ ...DECISION });
  await until('the decision', () => decisions.length > 0);
  client.captured('uid-one', true);
  await until('captured', () => server.pods()[0]?.captured === true);
  client.started(pod('two'));
  await until('two', () => server.podsOf('a').length === 2);
  client.stopped('uid-one');
  await until('one is gone', () => server.podsOf('a').length === 1);
  assert.deepEqual(decisions, [DECISION]);
});

test('pod registry: a node that comes back within the grace loses nothing but what has gone meanwhile', async (t) => {
  const { loopback, clock, server } = await openRegistry(t);
  const first = attach(t, loopback, [pod('one'), pod('two')]);
  await until('the snapshot', () => server.pods().length === 2);
  server.decide(DECISION);
  first.client.close();
  await until('detached', () =>
    loopback.recorded.lines.some(({ message }) => message.startsWith('node is not attached')),
  );
  clock.advance(29_000);
  assert.equal(server.pods().length, 2);
  const second = attach(t, loopback, [pod('one')]);
  await until('the new snapshot', () => server.pods().length === 1);
  await until('the decision again', () => second.decisions.length === 1);
  clock.advance(60_000);
  assert.equal(server.pods().length, 1);
});

test('pod registry: pods of a node that stays away are lost after the grace, and removed much later', async (t) => {
  const { loopback, clock, server, told } = await openRegistry(t);
  const { client } = attach(t, loopback, [pod('one')]);
  await until('the snapshot', () => server.pods().length === 1);
  client.close();
  await until('detached', () => server.nodes().on_lease === 1);
  clock.advance(29_999);
  assert.equal(server.pods()[0]?.lostSinceMs, undefined);
  clock.advance(1);
  assert.deepEqual(server.pods(), [{ ...pod('one'), node: 'a', lostSinceMs: clock.nowMs() }]);
  assert.deepEqual(server.nodes(), { attached: 0, on_lease: 0, lost: 1 });
  assert.equal(server.counters.leasesExpired, 1);
  const lostSinceMs = clock.nowMs();
  assert.deepEqual(told, [`a lost since ${lostSinceMs}`]);
  clock.advance(599_999);
  assert.equal(told.length, 1);
  clock.advance(1);
  assert.deepEqual([server.pods(), server.counters.nodesForgotten], [[], 1]);
  assert.deepEqual(told, [`a lost since ${lostSinceMs}`, 'a forgotten']);
  assert.deepEqual(server.nodes(), { attached: 0, on_lease: 0, lost: 0 });
});

test('pod registry: a lost pod is itself again when its node is back, also after a restart', async (t) => {
  const { loopback, clock, server } = await openRegistry(t);
  server.restore([
    { ...pod('one'), node: 'a', lostSinceMs: clock.nowMs() },
    { ...pod('two', { uid: 'uid-two' }), node: 'b' },
  ]);
  assert.deepEqual(server.nodes(), { attached: 0, on_lease: 1, lost: 1 });
  assert.deepEqual(
    server.pods().map(({ lostSinceMs }) => lostSinceMs),
    [clock.nowMs(), undefined],
  );
  attach(t, loopback, [pod('one')]);
  await until('found again', () => server.podsOf('a')[0]?.lostSinceMs === undefined);
  clock.advance(10_000_000);
  assert.deepEqual(server.podsOf('a'), [{ ...pod('one'), node: 'a' }]);
});

test('pod registry: a restart begins no new time for lost nodes, and one with a pod that is not lost is on lease', async (t) => {
  const { clock, server } = await openRegistry(t);
  const lostSinceMs = clock.nowMs() - 500_000;
  server.restore([
    { ...pod('one'), node: 'a', lostSinceMs },
    { ...pod('two'), node: 'b' },
    { ...pod('three'), node: 'b', lostSinceMs },
    { ...pod('four'), node: 'c', lostSinceMs: clock.nowMs() + 3_600_000 },
    { ...pod('five'), node: 'd', lostSinceMs: 1 },
  ]);
  assert.deepEqual(server.nodes(), { attached: 0, on_lease: 1, lost: 3 });
  clock.advance(29_999);
  assert.equal(server.podsOf('d').length, 1, 'it may be on its way back');
  clock.advance(1);
  assert.equal(server.podsOf('d').length, 0);
  clock.advance(69_999);
  assert.equal(server.podsOf('a').length, 1);
  clock.advance(1);
  assert.equal(server.podsOf('a').length, 0);
  assert.equal(server.podsOf('b').length, 2);
  clock.advance(500_000);
  assert.equal(server.podsOf('c').length, 0, 'a clock that was set back');
});

test('pod registry: a node without pods is forgotten in its time, too, over a restart', async (t) => {
  const { clock, server, told } = await openRegistry(t);
  const nowMs = clock.nowMs();
  server.restore(
    [{ ...pod('one'), node: 'has-pods' }],
    new Map([
      ['was-there', undefined],
      ['lost', nowMs - 500_000],
      ['has-pods', nowMs - 599_999],
    ]),
  );
  assert.deepEqual(server.nodes(), { attached: 0, on_lease: 2, lost: 1 });
  clock.advance(100_000);
  assert.deepEqual(told.sort(), [
    `has-pods lost since ${nowMs + 30_000}`,
    'lost forgotten',
    `was-there lost since ${nowMs + 30_000}`,
  ]);
  clock.advance(530_000);
  assert.deepEqual(server.nodes(), { attached: 0, on_lease: 0, lost: 0 });
});

test('pod registry: a lost pod may be started under its name on another node, and is then gone where it was', async (t) => {
  const { loopback, clock, server } = await openRegistry(t);
  server.restore([{ ...pod('one'), node: 'a', lostSinceMs: clock.nowMs() }]);
  const second = attach(t, loopback, [pod('one', { uid: 'uid-new' })], 'b');
  await until('the new one', () => server.podsOf('b').length === 1);
  assert.deepEqual([server.podsOf('a'), second.rejected], [[], []]);
  const first = attach(t, loopback, [pod('one')], 'a');
  await until('rejected', () => first.rejected.length === 1);
  assert.deepEqual(first.rejected, ['uid-one: pod shop/one runs on node b already']);
});

test('pod registry: fails closed: a token of another node speaks for no one else', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const { client } = attach(t, loopback, [pod('one')], 'a', 'b');
  await until('refused', () => client.status().lastError !== '');
  assert.match(client.status().lastError, /PERMISSION_DENIED: the token is for node b, not for a/);
  assert.deepEqual(server.pods(), []);
});

test('pod registry: a node with the token of another is told what to do, waits longer each time, and fills no log', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const clock = new ManualClock();
  const own = recordingLog();
  const client = new PodRegistryClient({
    controlPlane: loopback.controlPlane('b'),
    node: 'a',
    addresses: [],
    snapshot: () => [],
    onWelcome: () => {},
    onDecision: () => {},
    onRejected: () => {},
    onProblems: () => {},
    openTokenLine: () => () => true,
    clock,
    log: own.log,
    random: () => 0.5,
  });
  t.after(() => client.close());
  client.open();
  for (const [tries, delayMs] of [
    [1, 1_000],
    [2, 2_000],
    [3, 4_000],
  ] as const) {
    await until(`refusal ${tries}`, () => client.counters.failures === tries);
    clock.advance(delayMs - 1);
    assert.equal(client.counters.connects, tries, `not before ${delayMs} ms`);
    clock.advance(1);
  }
  const reason =
    'the token is for node b, not for a; make one with `groundwire control token --node a` for its --token-file, which is read again at each try';
  const [told, ...more] = own.lines;
  assert.deepEqual([told?.level, told?.message], ['error', 'node refused by the control plane']);
  assert.deepEqual([told?.fields['code'], told?.fields['reason']], ['PERMISSION_DENIED', reason]);
  assert.equal(more.length, 0, 'within ten seconds once');
  assert.deepEqual(
    loopback.recorded.lines.filter(({ message }) => message === 'node refused').map(({ fields }) => fields),
    [{ node: 'a', token_node: 'b', reason, unsaid: 0 }],
  );
  assert.ok(server.counters.nodesRefused >= 3);
});

test('pod registry: a pod of the same name on another node is rejected with the reason', async (t) => {
  const { loopback, server } = await openRegistry(t);
  attach(t, loopback, [pod('one')]);
  await until('the first', () => server.pods().length === 1);
  const { rejected } = attach(t, loopback, [pod('one', { uid: 'uid-other' })], 'b');
  await until('rejected', () => rejected.length === 1);
  assert.deepEqual(rejected, ['uid-other: pod shop/one runs on node a already']);
});

test('pod registry: a node that goes with pods is a warning, and one without is none', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const told = () =>
    loopback.recorded.lines
      .filter(({ message }) => message.startsWith('node is not attached'))
      .map(({ level, fields }) => [level, fields['pods']]);
  const idle = attach(t, loopback, []);
  await until('it is attached', () => server.nodes().attached === 1);
  idle.client.close();
  await until('it is told', () => told().length === 1);
  const busy = attach(t, loopback, [pod('one')]);
  await until('its pod', () => server.pods().length === 1);
  busy.client.close();
  await until('that is told, too', () => told().length === 2);
  assert.deepEqual(told(), [
    ['info', undefined],
    ['warn', 1],
  ]);
});

test('pod registry: a pod that was started again while the node was away replaces itself', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const first = attach(t, loopback, [pod('one')]);
  await until('the first', () => server.pods().length === 1);
  first.client.close();
  await until('detached', () =>
    loopback.recorded.lines.some(({ message }) => message.startsWith('node is not attached')),
  );
  const second = attach(t, loopback, [pod('one', { uid: 'uid-new' })]);
  await until('the new one', () => server.pods()[0]?.uid === 'uid-new');
  assert.deepEqual([server.pods().length, second.rejected], [1, []]);
});

test('pod registry: a node that there is no room for is refused in words, and the others stay', async (t) => {
  const loopback = await Loopback.open(t);
  const server = new PodRegistryServer({
    callerOf: (metadata) => loopback.authentication.callerOf(metadata),
    welcome: (node) => {
      if (node === 'b') throw new Error('10.244.0.0/24 has no part left for node number 2');
      return { trustDomain: 'cluster.local', clusterId: 'Kubernetes', podCidrs: [] };
    },
    renewToken: (node, last) => loopback.tokens.renew(node, last, LINE_MAX_MS),
    tokenNoticeMs: LINE_MAX_MS / 4,
    onChange: () => {},
    graceMs: 30_000,
    forgetMs: 600_000,
    onNodeLost: () => {},
    onNodeForgotten: () => {},
    clock: new ManualClock(),
    log: loopback.recorded.log,
  });
  t.after(() => server.close());
  await loopback.serve(server);
  attach(t, loopback, [pod('one')]);
  await until('the first', () => server.pods().length === 1);
  const { client } = attach(t, loopback, [pod('two')], 'b');
  await until('refused', () => client.status().lastError !== '');
  assert.match(client.status().lastError, /RESOURCE_EXHAUSTED: .*no part left/);
  assert.equal(server.pods().length, 1);
  assert.ok(server.counters.nodesRefused >= 1, 'at each try');
});

test('pod registry: a restarted one has the pods of its predecessor until their node says otherwise or the grace ends', async (t) => {
  const { loopback, clock, server } = await openRegistry(t);
  server.restore([
    { ...pod('one', { captured: true }), node: 'a' },
    { ...pod('gone'), node: 'a' },
    { ...pod('far'), node: 'b' },
  ]);
  server.decide(DECISION);
  assert.equal(server.pods().length, 3);
  const { decisions } = attach(t, loopback, [pod('one', { captured: true })]);
  await until('the snapshot', () => server.podsOf('a').length === 1);
  await until('the decision', () => decisions.length === 1);
  assert.equal(server.podsOf('b').length, 1);
  clock.advance(30_000);
  const lost = server.pods().filter(({ lostSinceMs }) => lostSinceMs !== undefined);
  assert.deepEqual(
    lost.map(({ node, name }) => `${node} ${name}`),
    ['b far'],
  );
});

test('pod registry: each pod is told by name once when it comes, is refused and goes', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const pods = [pod('one')];
  const { client, rejected } = attach(t, loopback, pods);
  const told = (message: string): unknown[] =>
    loopback.recorded.lines.filter((line) => line.message === message).map(({ fields }) => fields['pod']);
  await until('the snapshot', () => told('pod registered').length === 1);
  client.captured('uid-one', true);
  client.started(pod('one'));
  client.started(pod('two'));
  await until('both are known', () => server.pods().length === 2);
  server.reject('uid-two', 'no');
  client.stopped('uid-one');
  await until('both are gone', () => server.pods().length === 0 && rejected.length === 1);
  assert.deepEqual(told('pod registered'), ['shop/one', 'shop/two']);
  assert.deepEqual(told('pod rejected'), ['shop/two']);
  assert.deepEqual(told('pod gone'), ['shop/two', 'shop/one']);
});

/** A registry, and a node whose token is renewed by it; all by one clock. */
async function openRenewal(t: TestContext) {
  const clock = new ManualClock();
  const loopback = await Loopback.open(t, clock);
  const server = new PodRegistryServer({
    callerOf: (metadata) => loopback.authentication.callerOf(metadata),
    welcome: () => ({ trustDomain: 'cluster.local', clusterId: 'Kubernetes', podCidrs: [] }),
    renewToken: (node, last) => loopback.tokens.renew(node, last, LINE_MAX_MS),
    tokenNoticeMs: LINE_MAX_MS / 4,
    onChange: () => {},
    graceMs: 30_000,
    forgetMs: 600_000,
    onNodeLost: () => {},
    onNodeForgotten: () => {},
    clock,
    log: loopback.recorded.log,
  });
  t.after(() => server.close());
  await loopback.serve(server);
  const folder = temporaryFolder(t);
  const given = { token: loopback.tokens.make('a', 60 * MINUTE_MS) };
  const openKeeper = () =>
    new TokenKeeper({
      readGiven: () => given.token,
      path: join(folder, 'renewed.token'),
      scarceShare: 0.25,
      renewal: '',
      remedy: '',
      clock,
      log: loopback.recorded.log,
    });
  const open = (tokens: TokenKeeper) => {
    let welcomes = 0;
    const client = new PodRegistryClient({
      controlPlane: loopback.controlPlane('a', () => tokens.current()),
      node: 'a',
      addresses: [],
      snapshot: () => [],
      onWelcome: () => {
        welcomes += 1;
      },
      onDecision: () => {},
      onRejected: () => {},
      onProblems: () => {},
      openTokenLine: () => tokens.openLine(),
      clock,
      log: loopback.recorded.log,
    });
    t.after(() => client.close());
    client.open();
    return { client, welcomes: () => welcomes };
  };
  return { loopback, clock, server, given, openKeeper, open };
}

test('pod registry: an attached node outlives its token, over a restart too, and the one it was given is not touched', async (t) => {
  const { loopback, clock, server, given, openKeeper, open } = await openRenewal(t);
  const tokens = openKeeper();
  const { client } = open(tokens);
  // At once, then at each half of an hour.
  for (const renewed of [1, 2, 3, 4]) {
    await until(`renewal ${renewed}`, () => tokens.counters.renewed === renewed);
    clock.advance(30 * MINUTE_MS);
  }
  client.close();
  assert.ok('reason' in loopback.tokens.verify(given.token), 'the given one has ended');
  const again = openKeeper();
  const { welcomes } = open(again);
  await until('welcome again', () => welcomes() === 1);
  // A stream that is gone is renewed no more.
  await until('only one stream', () => server.nodes().attached === 1);
  await until('renewed there', () => again.counters.renewed === 1);
  const before = server.counters.tokensRenewed;
  clock.advance(30 * MINUTE_MS);
  assert.equal(server.counters.tokensRenewed, before + 1);
});

test('pod registry: a token that the operator gives while a stream is open is used, and renewed from then on', async (t) => {
  const { loopback, clock, server, given, openKeeper, open } = await openRenewal(t);
  const tokens = openKeeper();
  const { client } = open(tokens);
  await until('renewed', () => tokens.counters.renewed === 1);
  given.token = loopback.tokens.make('a', 24 * 60 * MINUTE_MS);
  clock.advance(30 * MINUTE_MS);
  await until('refused', () => tokens.counters.outdated === 1);
  assert.equal(tokens.current(), given.token);
  await until('ended', () => client.status().state === 'waiting');
  clock.advance(10_000);
  await until('renewed on a stream of the new one', () => tokens.counters.renewed === 2);
  const life = tokens.life();
  assert.equal((life?.untilMs ?? 0) - (life?.fromMs ?? 0), 24 * 60 * MINUTE_MS);
  assert.equal(server.nodes().attached, 1);
});

test('pod registry: a line of tokens ends, and both sides say so before', async (t) => {
  const { loopback, clock, server, openKeeper, open } = await openRenewal(t);
  const tokens = openKeeper();
  const { client } = open(tokens);
  await until('renewed', () => tokens.counters.renewed === 1);
  const notices = () =>
    loopback.recorded.lines.filter(({ message }) => message.startsWith('join token is not renewed'));
  const startMs = tokens.life()?.lineFromMs ?? 0;
  while (clock.nowMs() - startMs < 0.7 * LINE_MAX_MS) clock.advance(30 * MINUTE_MS);
  assert.equal(notices().length, 0);
  while (clock.nowMs() - startMs < 0.8 * LINE_MAX_MS) clock.advance(30 * MINUTE_MS);
  const endMs = startMs + LINE_MAX_MS;
  const endText = new Date(endMs).toISOString();
  assert.deepEqual(notices()[0]?.fields, {
    node: 'a',
    until: endText,
    hint: 'make a new one with `groundwire control token --node a` for its --token-file',
    unsaid: 0,
  });
  while (clock.nowMs() < endMs) clock.advance(30 * MINUTE_MS);
  const renewed = server.counters.tokensRenewed;
  await until('all have come', () => tokens.counters.renewed === renewed);
  assert.equal(tokens.life()?.untilMs, endMs);
  assert.match(tokens.problem() ?? '', /^the join token ended at /);
  clock.advance(60 * MINUTE_MS);
  assert.equal(server.counters.tokensRenewed, renewed);
  client.close();
});

test('pod registry: who attaches as a node that is attached is told of, with both peers', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const first = attach(t, loopback, []);
  await until('the first', () => first.welcomes.length === 1);
  const second = attach(t, loopback, []);
  await until('the second', () => second.welcomes.length === 1);
  first.client.close();
  second.client.close();
  const [told] = loopback.recorded.lines.filter(({ message }) => message === 'node attached while it was attached');
  const attached = loopback.recorded.lines.filter(({ message }) => message === 'node attached');
  assert.equal(told?.level, 'warn');
  assert.deepEqual(
    [told.fields['last_peer'], told.fields['peer']],
    attached.slice(0, 2).map(({ fields }) => fields['peer']),
  );
  assert.match(String(told.fields['peer']), /^127\.0\.0\.1:\d+$/);
  assert.ok(server.counters.attachedTwice >= 1);
});

test('pod registry: two agents of one node wait longer each time, until one of them stays attached', async (t) => {
  const { loopback } = await openRegistry(t);
  const clock = new ManualClock();
  let welcomes = 0;
  const client = new PodRegistryClient({
    controlPlane: loopback.controlPlane('a'),
    node: 'a',
    addresses: [],
    snapshot: () => [],
    onWelcome: () => {
      welcomes += 1;
    },
    onDecision: () => {},
    onRejected: () => {},
    onProblems: () => {},
    openTokenLine: () => () => true,
    clock,
    log: recordingLog().log,
    random: () => 0.5,
  });
  t.after(() => client.close());
  client.open();
  await until('welcome', () => welcomes === 1);
  const expectRetry = async (failures: number, delayMs: number) => {
    await until(`end ${failures}`, () => client.counters.failures === failures);
    clock.advance(delayMs - 1);
    assert.equal(client.counters.connects, failures, `not before ${delayMs} ms`);
    clock.advance(1);
    assert.equal(client.counters.connects, failures + 1);
    await until('welcome', () => welcomes === failures + 1);
  };
  const other = attach(t, loopback, []);
  await expectRetry(1, 10);
  await expectRetry(2, 20);
  await until('end 3', () => client.counters.failures === 3);
  other.client.close();
  await expectRetry(3, 40);
  clock.advance(10_000);
  const last = attach(t, loopback, []);
  await until('end 4', () => client.counters.failures === 4);
  last.client.close();
  await expectRetry(4, 10);
});

test('pod registry: a node that waits tries at once when it is told that the control plane is back', async (t) => {
  const { loopback, server } = await openRegistry(t);
  const { client, welcomes } = attach(t, loopback, [], 'a', 'a', new ManualClock());
  await until('attached', () => welcomes.length === 1);
  client.hurry();
  assert.equal(client.counters.connects, 1, 'one that is served is left as it is');
  loopback.stop();
  await until('the end of the stream', () => client.status().state === 'waiting');
  await loopback.serve(server);
  // Its clock stands still: nothing else ends the pause.
  client.hurry();
  await until('attached again', () => welcomes.length === 2);
  client.close();
  client.hurry();
  assert.equal(client.status().state, 'closed');
});

test('pod registry: a control plane that accepts a stream and says nothing is tried again, one that welcomes is kept', async (t) => {
  const loopback = await Loopback.open(t);
  const streams: ServerDuplexStream<NodeReport, NodeInstruction>[] = [];
  await loopback.serve({
    definition: PodRegistryService,
    implementation: { attach: (call: ServerDuplexStream<NodeReport, NodeInstruction>) => streams.push(call) },
  });
  const clock = new ManualClock();
  let welcomes = 0;
  const client = new PodRegistryClient({
    controlPlane: loopback.controlPlane('a'),
    node: 'a',
    addresses: [],
    snapshot: () => [],
    onWelcome: () => {
      welcomes += 1;
    },
    onDecision: () => {},
    onRejected: () => {},
    onProblems: () => {},
    openTokenLine: () => () => true,
    clock,
    log: recordingLog().log,
    random: () => 0.5,
  });
  t.after(() => client.close());
  client.open();
  await until('accepted', () => streams.length === 1);
  clock.advance(9_999);
  assert.equal(client.status().state, 'open');
  clock.advance(1);
  const { state, lastError } = client.status();
  assert.deepEqual([state, client.counters.failures], ['waiting', 1]);
  assert.match(lastError, /the control plane did not answer in 10000 ms/);
  clock.advance(10);
  await until('accepted again', () => streams.length === 2);
  const value = { trustDomain: 'cluster.local', clusterId: 'Kubernetes', podCidrs: [] };
  streams[1]?.write({ instruction: { $case: 'welcome', value } });
  await until('welcome', () => welcomes === 1);
  clock.advance(60_000);
  assert.deepEqual([client.status().state, client.counters.failures], ['open', 1]);
});
