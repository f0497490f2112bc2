// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { objectName } from '#src/discovery/decode.ts';
import {
  DeltaClient,
  type DeltaClientOptions,
  type DeltaUpdate,
  type ReceivedResource,
} from '#src/discovery/delta-client.ts';
import { DeltaServer, type TypeCounters } from '#src/discovery/delta-server.ts';
import { encodeObject } from '#src/discovery/encode.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, contentVersion, type EncodedResource } from '#src/discovery/resource.ts';
import { systemClock } from '#src/model/clock.ts';
import type { Authorization } from '#src/model/policy.ts';
import { AggregatedDiscoveryServiceClient, DeltaDiscoveryRequest } from '#src/wire/envoy/discovery.ts';
import * as security from '#src/wire/istio/authorization.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { compileYaml, podYaml } from '../compile/compile-yaml.ts';
import { Loopback, until } from './loopback.ts';

function policy(name: string, action: Authorization['action'] = 'DENY'): EncodedResource {
  const authorization: Authorization = { name, namespace: 'n', scope: 'NAMESPACE', action, rules: [], dryRun: false };
  return encodeObject({ kind: 'authorization', authorization });
}

/** A policy with a string match that says nothing: it must be rejected whole. */
function brokenPolicy(name: string): EncodedResource {
  const rules = [{ clauses: [{ matches: [{ principals: [{}] }] }] }];
  const bytes = security.Authorization.encode(
    security.Authorization.fromPartial({ name, namespace: 'n', rules }),
  ).finish();
  return { ...policy(name), bytes, version: contentVersion(bytes) };
}

interface Follower {
  readonly client: DeltaClient;
  readonly updates: DeltaUpdate[];
  readonly stored: ReceivedResource[];
}

function follow(
  t: TestContext,
  loopback: Loopback,
  token?: string,
  unwelcome: ReadonlySet<string> = new Set(),
  controlPlane = loopback.controlPlane('a', token),
  more: Partial<DeltaClientOptions> = {},
): Follower {
  const updates: DeltaUpdate[] = [];
  const stored: ReceivedResource[] = [];
  const client = new DeltaClient({
    controlPlane,
    clusterId: 'Kubernetes',
    node: { node: 'a', address: '127.0.0.1', podName: 'agent', podNamespace: 'mesh' },
    sink: (update) => {
      updates.push(update);
      return update.upserts
        .map(objectName)
        .filter((name) => unwelcome.has(name))
        .map((name) => ({ name, reason: 'not welcome' }));
    },
    store: { record: (_type, received) => stored.push(...received) },
    clock: systemClock,
    log: loopback.recorded.log,
    ...more,
  });
  t.after(() => client.close());
  return { client, updates, stored };
}

async function openPair(t: TestContext) {
  const loopback = await Loopback.open(t);
  const server = new DeltaServer({ clock: systemClock, log: loopback.recorded.log });
  t.after(() => server.close());
  await loopback.serve(server);
  return { loopback, server };
}

const published = new WeakMap<DeltaServer, readonly EncodedResource[]>();

/** Publishes all that there is, and that the rest is gone. */
function publishWhole(server: DeltaServer, resources: readonly EncodedResource[]): void {
  const names = new Set(resources.map(({ name }) => name));
  const removals = (published.get(server) ?? []).filter(({ name }) => !names.has(name));
  server.publish({ upserts: resources, removals });
  published.set(server, resources);
}

/** Of all types. */
function total(server: DeltaServer, counter: keyof TypeCounters): number {
  return Object.values(server.typeCounters).reduce((sum, counters) => sum + counters[counter], 0);
}

function upserted(updates: readonly DeltaUpdate[]): string[] {
  return updates.flatMap((update) => update.upserts.map(objectName));
}

test('delta: a client gets everything, then what changes, then what is gone', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('one'), policy('two')]);
  const { client, updates } = follow(t, loopback);
  client.open();
  await until('synced', () => client.status().synced);
  assert.deepEqual(upserted(updates).sort(), ['n/one', 'n/two']);
  updates.length = 0;
  publishWhole(server, [policy('one', 'ALLOW'), policy('two')]);
  await until('the change', () => updates.length > 0);
  assert.deepEqual(upserted(updates), ['n/one']);
  updates.length = 0;
  publishWhole(server, [policy('one', 'ALLOW')]);
  await until('the removal', () => updates.length > 0);
  assert.deepEqual(updates, [{ type: AUTHORIZATION_TYPE, upserts: [], removals: ['n/two'], rejected: [] }]);
  await until('all acknowledged', () => total(server, 'acks') === total(server, 'pushes'));
});

test('delta: every response is counted with its bytes, empty and rejected ones too', async (t) => {
  const { loopback, server } = await openPair(t);
  const [good, broken] = [policy('one'), brokenPolicy('two')];
  publishWhole(server, [good, broken]);
  const bytesOf = new Map<string, number[]>();
  const onResponse: DeltaClientOptions['onResponse'] = (type, bytes) =>
    bytesOf.set(type, [...(bytesOf.get(type) ?? []), bytes]);
  const { client } = follow(t, loopback, undefined, undefined, undefined, { onResponse });
  client.open();
  await until('synced', () => client.status().synced);
  assert.deepEqual(Object.fromEntries(bytesOf), {
    [ADDRESS_TYPE]: [0],
    [AUTHORIZATION_TYPE]: [good.bytes.length + broken.bytes.length],
  });
});

test('delta: fails closed: a NACK keeps the last good policy, names the field, and is not answered in a loop', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('one')]);
  const { client, updates, stored } = follow(t, loopback);
  client.open();
  await until('synced', () => client.status().synced);
  updates.length = 0;
  publishWhole(server, [brokenPolicy('one'), policy('two')]);
  await until('the NACK', () => total(server, 'nacks') === 1);
  assert.deepEqual(upserted(updates), ['n/two'], 'the others of the response are applied');
  assert.deepEqual(
    updates.flatMap(({ removals }) => removals),
    [],
  );
  assert.deepEqual(
    updates.flatMap(({ rejected }) => rejected.map(({ name, remains }) => [name, remains])),
    [['n/one', { kind: 'policy', addresses: [], scope: '' }]],
    'the receiver hears of it, too',
  );
  assert.deepEqual(
    stored.map(({ name }) => name),
    ['n/one', 'n/two'],
    'the last good one stays stored',
  );
  const line = loopback.recorded.lines.find(({ message }) => message === 'discovery client rejected resources');
  assert.match(String(line?.fields['reason']), /n\/one \[0\]: rules\[0\]\.clauses\[0\]\.matches\[0\]\.principals\[0\]/);
  // One that was answered with the same again would be rejected again, before anything that is published later.
  publishWhole(server, [brokenPolicy('one'), policy('two'), policy('three')]);
  await until('what came later', () => upserted(updates).includes('n/three'));
  assert.equal(total(server, 'nacks'), 1);
  publishWhole(server, [policy('one', 'ALLOW'), policy('two')]);
  await until('the repaired one', () => upserted(updates).includes('n/one'));
});

test('delta: fails closed: what the receiver does not take is neither acknowledged nor said to be in force', async (t) => {
  const { loopback, server } = await openPair(t);
  const unwelcome = new Set(['n/two']);
  publishWhole(server, [policy('one'), policy('two')]);
  const { client, updates, stored } = follow(t, loopback, undefined, unwelcome);
  client.open();
  await until('the NACK', () => total(server, 'nacks') === 1);
  assert.deepEqual(
    stored.map(({ name, version }) => [name, version === '' ? 'not taken' : 'taken']),
    [
      ['n/one', 'taken'],
      ['n/two', 'not taken'],
    ],
  );
  assert.equal(client.counters.rejectedResources, 1);
  const line = loopback.recorded.lines.find(({ message }) => message === 'discovery client rejected resources');
  assert.match(String(line?.fields['reason']), /n\/two \[1\]: not welcome/);
  // On the next stream it is sent again, since it was not said to be known.
  unwelcome.clear();
  updates.length = 0;
  loopback.stop();
  await until('the loss noticed', () => client.status().state === 'waiting');
  const restarted = new DeltaServer({ clock: systemClock, log: loopback.recorded.log });
  t.after(() => restarted.close());
  publishWhole(restarted, [policy('one'), policy('two')]);
  await loopback.serve(restarted);
  await until('it comes again', () => upserted(updates).includes('n/two'));
});

test('delta: fails closed: what was rejected is known to a restarted client, and its removal is told', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [brokenPolicy('bad'), policy('good')]);
  const first = follow(t, loopback);
  first.client.open();
  await until('the NACK', () => total(server, 'nacks') === 1);
  first.client.close();
  const rejectedNames = (updates: readonly DeltaUpdate[]) =>
    updates.flatMap(({ rejected }) => rejected.map(({ name }) => name));
  const second = follow(t, loopback);
  second.client.restore(first.stored);
  assert.deepEqual(rejectedNames(second.updates), ['n/bad'], 'before it heard of any control plane');
  second.updates.length = 0;
  publishWhole(server, [policy('good')]);
  second.client.open();
  const removals = () => second.updates.flatMap((update) => update.removals);
  await until('the removal', () => removals().length > 0);
  assert.deepEqual(removals(), ['n/bad']);
  assert.deepEqual(upserted(second.updates), [], 'what was accepted is known still');
});

test('delta: what an earlier run stored and the receiver does not take is asked for anew', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('one')]);
  const { client, updates } = follow(t, loopback, undefined, new Set(['n/one']));
  client.restore([{ ...policy('one') }]);
  updates.length = 0;
  client.open();
  await until('it comes again', () => upserted(updates).includes('n/one'));
});

test('delta: a control plane that stays away is told of rarely, and how long ago it was in sync is known', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('one')]);
  const { client } = follow(t, loopback);
  assert.equal(client.status().syncedMs, undefined);
  client.open();
  await until('synced', () => client.status().synced);
  loopback.stop();
  await until('many failures', () => client.counters.failures >= 5);
  assert.ok(Date.now() - (client.status().syncedMs ?? 0) < 10_000);
  const lines = loopback.recorded.lines.filter(({ message }) => message === 'discovery stream ended');
  assert.equal(lines.length, 1);
});

test('delta: a client that waits tries at once when it is told that the control plane is back, and tells of its answer', async (t) => {
  const { loopback, server } = await openPair(t);
  let answers = 0;
  const { client } = follow(t, loopback, undefined, undefined, undefined, {
    clock: new ManualClock(),
    onAnswered: () => {
      answers += 1;
    },
  });
  client.hurry();
  assert.deepEqual([client.status().state, client.counters.connects], ['waiting', 0], 'it was not opened yet');
  client.open();
  await until('synced', () => client.status().synced);
  client.hurry();
  assert.deepEqual([client.counters.connects, answers], [1, 1], 'one that is served is left as it is');
  loopback.stop();
  await until('the end of the stream', () => client.status().state === 'waiting');
  await loopback.serve(server);
  // Its clock stands still: nothing else ends the pause.
  client.hurry();
  await until('synced again', () => client.status().synced);
  assert.deepEqual([client.counters.connects, answers], [2, 2]);
  client.close();
  client.hurry();
  assert.equal(client.status().state, 'closed');
});

test('delta: a client that comes back to a restarted server gets only the differences', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('same'), policy('changes'), policy('goes')]);
  const { client, updates } = follow(t, loopback);
  client.open();
  await until('synced', () => client.status().synced);
  updates.length = 0;
  loopback.stop();
  await until('the loss noticed', () => client.status().state === 'waiting');
  assert.deepEqual(updates, [], 'what was received stays while there is no control plane');
  const restarted = new DeltaServer({ clock: systemClock, log: loopback.recorded.log });
  t.after(() => restarted.close());
  publishWhole(restarted, [policy('same'), policy('changes', 'ALLOW')]);
  await loopback.serve(restarted);
  const removals = () => updates.flatMap(({ removals }) => removals);
  // Policies are withdrawn after everything else, in a response of their own.
  await until('synced again', () => client.status().synced && removals().length > 0);
  assert.deepEqual(upserted(updates), ['n/changes']);
  assert.deepEqual(removals(), ['n/goes']);
});

test('delta: what an earlier run stored is in force at once and not sent again', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('one'), policy('two')]);
  const { client, updates } = follow(t, loopback);
  const { type, name, version, bytes } = policy('one');
  client.restore([{ type, name, version, bytes }]);
  assert.deepEqual(upserted(updates), ['n/one']);
  updates.length = 0;
  client.open();
  await until('synced', () => client.status().synced);
  assert.deepEqual(upserted(updates), ['n/two']);
});

test('delta: a client without an accepted token is refused in words', async (t) => {
  const { loopback, server } = await openPair(t);
  const { client } = follow(t, loopback, 'not.a.token');
  client.open();
  await until('the refusal', () => client.status().lastError !== '');
  assert.match(client.status().lastError, /UNAUTHENTICATED: the token was not made by this control plane/);
  assert.equal(server.counters.streams, 0);
});

test('delta: without a control plane, or with the roots of another one, it says what is wrong in words of our own', async (t) => {
  const { loopback } = await openPair(t);
  const other = await Loopback.open(t);
  const reason = async (rootsPem: string): Promise<string> => {
    const controlPlane = loopback.controlPlane('a', undefined, rootsPem);
    const { client } = follow(t, loopback, undefined, undefined, controlPlane);
    client.open();
    await until('the failure', () => client.status().lastError !== '');
    const { lastError } = client.status();
    client.close();
    return lastError;
  };
  assert.match(
    await reason(other.authority.rootsPem),
    /^the control plane does not have a certificate of the roots given here: the file of --token-file .* is of another control plane; make a new one with `groundwire control token`/,
  );
  loopback.stop();
  assert.match(
    await reason(loopback.authority.rootsPem),
    /^the control plane does not listen at 127\.0\.0\.1:\d+: start it, or name the right address with --control$/,
  );
});

test('delta: ten changes in one moment are one push', async (t) => {
  const { loopback, server } = await openPair(t);
  const { client, updates } = follow(t, loopback);
  client.open();
  await until('synced', () => client.status().synced);
  const before = total(server, 'pushes');
  for (let i = 0; i < 10; i += 1)
    publishWhole(server, [policy('one', i % 2 === 0 ? 'ALLOW' : 'DENY'), policy(`p${i}`)]);
  // What had not been in it would be pushed in the moment in which it is acknowledged.
  await until('taken', () => total(server, 'pushes') > before && total(server, 'acks') === total(server, 'pushes'));
  assert.equal(total(server, 'pushes'), before + 1);
  publishWhole(server, [policy('one'), policy('p9'), policy('later')]);
  await until('what came later', () => upserted(updates).includes('n/later'));
  assert.equal(total(server, 'pushes'), before + 2);
});

test('delta: a client that does not answer is cut off and counted', async (t) => {
  const loopback = await Loopback.open(t);
  const clock = new ManualClock();
  const server = new DeltaServer({ clock, log: loopback.recorded.log, ackTimeoutMs: 1_000 });
  t.after(() => server.close());
  await loopback.serve(server);
  const { address, credentials, options } = loopback.controlPlane('a').dial();
  const stub = new AggregatedDiscoveryServiceClient(address, credentials, options);
  t.after(() => stub.close());
  const call = stub.deltaAggregatedResources(loopback.controlPlane('a').callMetadata());
  const ended = new Promise<string>((resolve) => call.on('error', ({ message }) => resolve(message)));
  const answered = new Promise((resolve) => call.once('data', resolve));
  call.write(DeltaDiscoveryRequest.fromPartial({ typeUrl: AUTHORIZATION_TYPE, node: { id: 'silent' } }));
  await answered;
  clock.advance(1_000);
  assert.match(await ended, /DEADLINE_EXCEEDED.*no ACK/);
  assert.equal(server.counters.slowClients, 1);
});

/** A pod's workload that names these policies. */
function workload(...policies: string[]): EncodedResource {
  const workloads = compileYaml(podYaml('n', 'pod', '10.0.0.1')).workloads;
  const [one] = workloads.values();
  assert.ok(one !== undefined);
  return encodeObject({ kind: 'workload', workload: { ...one, authorizationPolicies: policies } });
}

test('delta: in the order of arrival a workload never names a policy that is not there', async (t) => {
  const { loopback, server } = await openPair(t);
  publishWhole(server, [policy('old', 'ALLOW'), workload('n/old')]);
  const policies = new Set<string>();
  const seen: string[] = [];
  const named = { current: [] as readonly string[] };
  const client = new DeltaClient({
    controlPlane: loopback.controlPlane('a'),
    clusterId: 'Kubernetes',
    node: { node: 'a', address: '127.0.0.1', podName: 'agent', podNamespace: 'mesh' },
    sink: ({ upserts, removals }) => {
      for (const name of removals) policies.delete(name);
      for (const one of upserts) {
        if (one.kind === 'authorization') policies.add(`${one.authorization.namespace}/${one.authorization.name}`);
        if (one.kind === 'workload') named.current = one.workload.authorizationPolicies;
      }
      // What a held connection is judged by after each step.
      const missing = named.current.filter((name) => !policies.has(name));
      seen.push(
        missing.length === 0 ? `${[...policies].join()} > ${named.current.join()}` : `missing ${missing.join()}`,
      );
      return [];
    },
    store: { record() {} },
    clock: systemClock,
    log: loopback.recorded.log,
  });
  t.after(() => client.close());
  client.open();
  await until('synced', () => client.status().synced && named.current.length > 0);
  for (const [from, to] of [
    ['old', 'new'],
    ['new', 'newer'],
  ]) {
    publishWhole(server, [policy(to ?? '', 'ALLOW'), workload(`n/${to}`)]);
    await until('the old policy is gone', () => !policies.has(`n/${from}`));
  }
  assert.deepEqual(seen, [
    'n/old > ',
    'n/old > n/old',
    'n/old,n/new > n/old',
    'n/old,n/new > n/new',
    'n/new > n/new',
    'n/new,n/newer > n/new',
    'n/new,n/newer > n/newer',
    'n/newer > n/newer',
  ]);
});
