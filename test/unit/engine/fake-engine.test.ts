// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CapturePod, type EngineEvent, FakeEngine } from '#src/engine/index.ts';
import { testEnginePort } from './contract.ts';

testEnginePort('fake engine', () => new FakeEngine());

const pod: CapturePod = {
  kind: 'CapturePod',
  pod: 1,
  uid: 'shop/web',
  netnsPath: '/run/netns/web',
  addresses: ['10.203.0.2'],
  identity: 'spiffe://cluster.local/ns/shop/sa/web',
  existing: 'keep',
  dns: true,
};

const question: EngineEvent = {
  kind: 'OutboundQuestion',
  question: 1n,
  pod: 1,
  originalDst: { address: '10.203.9.9', port: 80 },
};

test('fake engine: events come in a turn of their own, never from inside push', async () => {
  const engine = new FakeEngine();
  const seen: EngineEvent[] = [];
  engine.onEvents((events) => seen.push(...events));
  const pushed = engine.push([question]);
  assert.deepEqual(seen, []);
  await pushed;
  assert.deepEqual(seen, [question]);
});

test('fake engine: each listener gets every batch until it unsubscribes, and the number dropped', async () => {
  const engine = new FakeEngine();
  const calls: string[] = [];
  const end = engine.onEvents((events, dropped) => calls.push(`a ${events.length} ${dropped}`));
  engine.onEvents((events, dropped) => calls.push(`b ${events.length} ${dropped}`));
  await engine.push([question], 3);
  end();
  await engine.push([question, question]);
  assert.deepEqual(calls, ['a 1 3', 'b 1 3', 'b 2 0']);
});

test('fake engine: commands change its state in order', async () => {
  const engine = new FakeEngine();
  const released: EngineEvent[] = [];
  engine.onEvents((events) => released.push(...events));
  await engine.apply([
    pod,
    { kind: 'SetPeers', peers: [{ address: '10.203.0.3', label: 4 }] },
    { kind: 'SetPeers', peers: [{ address: '10.203.0.3', label: 0 }] },
  ]);
  assert.deepEqual([...engine.pods.keys()], [1]);
  assert.equal(engine.peers.size, 0);
  await engine.apply([{ kind: 'ReleasePod', pod: 1, drainDeadlineMs: 0 }]);
  assert.equal(engine.pods.size, 0);
  assert.deepEqual(released, [{ kind: 'PodReleased', pod: 1 }]);
});

test('fake engine: a pod is captured once, and pod 0 never', async () => {
  const engine = new FakeEngine();
  await engine.apply([pod]);
  await assert.rejects(engine.apply([pod]), { code: 'ERR_ENGINE_COMMAND', op: 'capture pod' });
  await assert.rejects(engine.apply([{ ...pod, pod: 0 }]), { code: 'ERR_ENGINE_COMMAND', op: 'capture pod' });
});

test('fake engine: failNext fails one command the way a kernel does', async () => {
  const engine = new FakeEngine();
  engine.failNext('CapturePod', 'setns', 2, pod.netnsPath);
  await assert.rejects(engine.apply([pod]), { op: 'setns', errno: 2, index: 0, message: /ENOENT/ });
  await engine.apply([pod]);
});

test('fake engine: closing delivers the last events but no question, which nobody could answer', async () => {
  const engine = new FakeEngine();
  const seen: EngineEvent[] = [];
  engine.onEvents((events) => seen.push(...events));
  const pushed = engine.push([question, { kind: 'PodReleased', pod: 1 }]);
  await engine.close();
  await pushed;
  assert.deepEqual(seen, [{ kind: 'PodReleased', pod: 1 }]);
});
