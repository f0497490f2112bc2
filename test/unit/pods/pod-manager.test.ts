// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { findProcess, isAlive } from '#src/host/process-id.ts';
import type { Log } from '#src/model/log.ts';
import { AddressPool } from '#src/pods/address-pool.ts';
import type { PodSteps } from '#src/pods/managed-pod.ts';
import type { PodSpec } from '#src/pods/pod.ts';
import { PodFiles } from '#src/pods/pod-files.ts';
import { PodManager, PodRefused } from '#src/pods/pod-manager.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { until } from '../../helpers/until.ts';
import { recordingLog } from '../discovery/loopback.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
const SPEC: PodSpec = {
  namespace: 'shop',
  name: 'web',
  serviceAccount: 'web',
  labels: {},
  annotations: {},
  ports: {},
};
const NO_STEPS: PodSteps = {
  capture: async () => {},
  leave: async () => {},
  release: async () => {},
  discard: async () => {},
  isKnown: () => true,
  oldConnections: () => ({ connections: [], closed: false }),
  onMeshChanged: () => {},
};
const OUTSIDE = {
  capture: false,
  sameNodeMode: 'handoff',
  existingConnections: 'keep',
  dnsCapture: true,
  reason: 'not labelled',
  notices: ['nobody knows its namespace'],
} as const;

/** A manager whose sandboxes take as long as a test wants, and what is left of them and told of them. */
function makeManager(t: TestContext, look = isAlive, discard = async (): Promise<void> => {}) {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-manager-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const clock = new ManualClock();
  const sandboxes = new Set<string>();
  const told: string[] = [];
  const opening: (() => void)[] = [];
  const { log, lines } = recordingLog();
  const manager: PodManager = new PodManager(
    {
      host: {
        node: 'a',
        podsCgroup: join(directory, 'cgroup'),
        mtu: 1500,
        nameservers: [],
        clusterDomain: 'cluster.local',
      },
      decisionTimeoutMs: 60_000,
      captureTimeoutMs: 60_000,
    },
    {
      files: new PodFiles(join(directory, 'pods'), SILENT),
      sandboxes: {
        open: async ({ namespaceName }) => {
          await new Promise<void>((resolve) => opening.push(resolve));
          sandboxes.add(namespaceName);
        },
        close: async ({ namespaceName }) => {
          sandboxes.delete(namespaceName);
        },
      },
      steps: { ...NO_STEPS, discard },
      isAlive: look,
      reporter: {
        started: ({ uid }) => {
          told.push('started');
          queueMicrotask(() => manager.decide(uid, OUTSIDE));
        },
        changed: ({ terminating }) => told.push(terminating ? 'terminating' : 'changed'),
        stopped: () => told.push('stopped'),
      },
      clock,
      log,
      pool: Promise.resolve(new AddressPool(['10.9.0.0/29'])),
      podsChanged: () => {},
    },
  );
  const left = () => [...sandboxes, ...readdirSync(join(directory, 'pods'))];
  return { manager, clock, told, opening, left, lines };
}

async function create(manager: PodManager, signal = new AbortController().signal) {
  const holder = await findProcess(process.pid);
  assert.ok(holder);
  return manager.create(SPEC, holder, signal);
}

test('a pod that nobody interrupts is there until it is removed', async (t) => {
  const { manager, told, opening, left, lines } = makeManager(t);
  const made = create(manager);
  await until('the pod is being made', () => opening.length === 1);
  opening[0]?.();
  const { uid } = await made;
  assert.deepEqual(
    lines.map(({ message, fields }) => [message, fields]),
    [['pod notice', { pod: 'shop/web', notice: 'nobody knows its namespace' }]],
  );
  assert.equal(left().length, 2);
  assert.equal(manager.listStaying().length, 1);
  const removed = manager.remove(uid);
  assert.deepEqual([manager.list().length, manager.listStaying().length], [1, 0]);
  await removed;
  assert.deepEqual([left(), manager.list(), told], [[], [], ['started', 'stopped']]);
});

for (const [who, interrupt] of [
  ['whoever asked for it goes', (_: PodManager, asker: AbortController) => asker.abort()],
  ['it is removed', (manager: PodManager) => void manager.remove(manager.list()[0]?.uid ?? '')],
  ['the agent ends its pods', (manager: PodManager) => void manager.removeAll()],
] as const) {
  test(`a pod leaves nothing when ${who} while it is being made`, async (t) => {
    const { manager, told, opening, left } = makeManager(t);
    const asker = new AbortController();
    const made = assert.rejects(create(manager, asker.signal), PodRefused);
    await until('the pod is being made', () => opening.length === 1);
    interrupt(manager, asker);
    await turn();
    await assert.rejects(create(manager), /already runs on this node|the agent is stopping/, 'its name is taken still');
    opening[0]?.();
    await made;
    assert.deepEqual([left(), manager.list()], [[], []]);
    assert.equal(told.at(-1), 'stopped');
    assert.deepEqual([manager.counters.refused, manager.counters.removed], [2, 1]);
  });
}

test('a pod that is told to end is told once, written down, and stays until it is removed', async (t) => {
  const { manager, told, opening, left } = makeManager(t);
  const made = create(manager);
  await until('the pod is being made', () => opening.length === 1);
  opening[0]?.();
  const { uid } = await made;
  manager.terminate(uid);
  manager.terminate(uid);
  manager.terminate('nobody');
  assert.deepEqual(told, ['started', 'terminating']);
  assert.equal(manager.find(uid)?.terminating, true);
  await until('it is written down', () => left().length === 2);
  await manager.remove(uid);
  manager.terminate(uid);
  assert.deepEqual(told, ['started', 'terminating', 'stopped']);
});

test('holders are looked after until the agent leaves, also by a look that is under way', async (t) => {
  const { manager, clock } = makeManager(t);
  manager.open([]);
  for (let i = 0; i < 2; i += 1) {
    clock.advance(1000);
    assert.equal(clock.timers, 0, 'a look is under way');
    await until('the next look is set', () => clock.timers === 1);
  }
  clock.advance(1000);
  await manager.close();
  for (let i = 0; i < 20; i += 1) await turn();
  assert.equal(clock.timers, 0);
});

test('a holder that cannot be seen keeps its pod; one that is seen to be gone does not', async (t) => {
  let look: () => Promise<boolean> = async () => true;
  const { manager, clock, told, opening, left, lines } = makeManager(t, () => look());
  const made = create(manager);
  await until('the pod is being made', () => opening.length === 1);
  opening[0]?.();
  const { uid } = await made;
  manager.open([]);
  look = async () => {
    throw new Error('EMFILE: too many open files');
  };
  await manager.checkHolder(uid);
  for (let round = 2; round <= 4; round += 1) {
    await until('the next look is set', () => clock.timers === 1);
    clock.advance(1000);
    await until('it was looked at', () => manager.counters.holders_unseen === round);
  }
  assert.deepEqual([left().length, manager.list().length, told], [2, 1, ['started']]);
  const warnings = lines.filter(({ message }) => message.startsWith('cannot see'));
  assert.equal(warnings.length, 1, 'and not one a second');
  assert.match(String(warnings[0]?.fields['error']), /EMFILE/);

  look = async () => false;
  await until('the next look is set', () => clock.timers === 1);
  clock.advance(1000);
  await until('the pod is gone', () => manager.list().length === 0);
  assert.deepEqual([left(), told], [[], ['started', 'stopped']]);
  await manager.close();
});

/** A pod that was removed and whose connections are drained until the test says so. */
async function drainedPod(t: TestContext, look = isAlive) {
  let drained = (): void => {};
  const made = makeManager(t, look, () => new Promise<void>((resolve) => (drained = resolve)));
  const { manager, opening } = made;
  const created = create(manager);
  await until('the pod is being made', () => opening.length === 1);
  opening[0]?.();
  const view = await created;
  const removed = manager.remove(view.uid);
  await until('its program has ended', () => manager.find(view.uid)?.state.kind === 'stopped');
  return { ...made, view, removed, drained: () => drained() };
}

test('a pod that is drained keeps sandbox, addresses and name; the next of its name waits for it', async (t) => {
  const { manager, opening, left, view, removed, drained } = await drainedPod(t);
  assert.equal(left().length, 2);
  const next = create(manager);
  for (let i = 0; i < 20; i += 1) await turn();
  assert.equal(opening.length, 1, 'the next is not begun');
  drained();
  await removed;
  await until('the next is being made', () => opening.length === 2);
  opening[1]?.();
  assert.notDeepEqual((await next).sandbox.addresses, view.sandbox.addresses);
});

test('whoever ends a pod does not wait for what its connections still carry', async (t) => {
  const { manager, clock, view, removed, drained } = await drainedPod(t);
  const ended = manager.end(view.uid);
  clock.advance(500);
  assert.equal(await ended, false);
  const gone = manager.end(view.uid);
  drained();
  await removed;
  assert.equal(await gone, true);
});

test('the next of a name does not wait for one that is drained for ever', async (t) => {
  const { manager, clock, removed, drained } = await drainedPod(t);
  const next = assert.rejects(create(manager), /shop\/web was not started: .* still drained/);
  await until('it waits', () => clock.timers === 1);
  clock.advance(60_000);
  await next;
  drained();
  await removed;
});

test('the other pods are looked after while one is drained, and the agent leaves when that is over', async (t) => {
  const { manager, clock, drained } = await drainedPod(t, async () => false);
  manager.open([]);
  for (let i = 0; i < 3; i += 1) {
    await until('the next look is set', () => clock.timers === 1);
    clock.advance(1000);
  }
  let closed = false;
  const closing = manager.close().then(() => (closed = true));
  for (let i = 0; i < 20; i += 1) await turn();
  assert.equal(closed, false);
  drained();
  await closing;
  assert.equal(manager.list().length, 0);
});

test('a pod is not made for one who has gone before it was begun', async (t) => {
  const { manager, opening, left } = makeManager(t);
  const gone = assert.rejects(create(manager, AbortSignal.abort()), /who asked for it has gone/);
  await until('the pod is being made', () => opening.length === 1);
  opening[0]?.();
  await gone;
  assert.deepEqual([left(), manager.list()], [[], []]);
});
