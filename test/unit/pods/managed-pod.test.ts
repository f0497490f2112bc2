// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { SettingError } from '#src/config/setting-error.ts';
import { CaptureSteps } from '#src/dialogue/capture-steps.ts';
import { EngineIdentities } from '#src/dialogue/engine-identities.ts';
import { PodCaptures } from '#src/dialogue/pod-captures.ts';
import { FakeEngine } from '#src/engine/fake-engine.ts';
import { parseSpiffeId, type SpiffeId } from '#src/model/identity.ts';
import type { Log } from '#src/model/log.ts';
import { ManagedPod } from '#src/pods/managed-pod.ts';
import type { PodDecision, PodRecord } from '#src/pods/pod.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
const IN: PodDecision = {
  capture: true,
  sameNodeMode: 'handoff',
  existingConnections: 'keep',
  dnsCapture: true,
  reason: 'labelled',
};
const OUT: PodDecision = { ...IN, capture: false, reason: 'not labelled' };
const IDENTITY = 'spiffe://cluster.local/ns/shop/sa/web';

const RECORD: PodRecord = {
  uid: 'uid-1',
  handle: 1,
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
  captured: false,
};

/** A pod with everything around it but kernel and control plane, and a journal of what they were told, in order. */
function makePod(record = RECORD, persist = (_changed: PodRecord): void => {}) {
  const clock = new ManualClock();
  const engine = new FakeEngine();
  const journal: string[] = [];
  const persisted: PodRecord[] = [];
  const identities = new EngineIdentities(engine, clock, SILENT);
  const captures = new PodCaptures(engine, clock, SILENT);
  engine.onEvents((events) => {
    for (const event of events) captures.onEvent(event);
  });
  let protocol: 'HBONE' | 'NONE' = 'NONE';
  let addresses = record.sandbox.addresses;
  const steps = new CaptureSteps(
    { drainDeadlineMs: 1000, releaseGraceMs: 250, releaseWaitMs: 30_000 },
    {
      captures,
      certificates: {
        require: (identity: SpiffeId) => journal.push(`require ${identity.serviceAccount}`),
        release: (identity: SpiffeId) => journal.push(`release ${identity.serviceAccount}`),
      },
      identities,
      clock,
      trustDomain: () => 'cluster.local',
      reportLeaving: () => {},
      reportCaptured: (_uid, captured) =>
        journal.push(`report captured=${captured} commands=${engine.commands.map((one) => one.kind).join(',')}`),
      findWorkload: () => ({ addresses, tunnelProtocol: protocol }),
    },
  );
  let nextHandle = 2;
  let changes = 0;
  const pod = new ManagedPod(record, {
    steps,
    clock,
    log: SILENT,
    nextHandle: () => nextHandle++,
    persist: (changed) => {
      persist(changed);
      persisted.push(changed);
    },
    changed: () => {
      changes += 1;
    },
    stepFailed: () => journal.push('step failed'),
  });
  return {
    pod,
    captures,
    clock,
    engine,
    journal,
    persisted,
    changes: () => changes,
    setProtocol: (value: 'HBONE' | 'NONE') => {
      protocol = value;
      pod.onMeshChanged();
    },
    setMeshAddresses: (value: readonly string[]) => {
      addresses = value;
      pod.onMeshChanged();
    },
    issue: async () => {
      const identity = parseSpiffeId(IDENTITY);
      assert.ok(identity);
      identities.set({
        identity,
        chain: ['leaf'],
        rootsPem: 'root',
        privateKeyPem: 'key',
        notBeforeMs: 0,
        notAfterMs: 1e15,
      });
      await settle();
    },
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn();
}

test('a pod that enters: certificate, then capture, then the report', async () => {
  const { pod, engine, journal, issue } = makePod();
  pod.decide(IN);
  await settle();
  assert.equal(pod.view().state.kind, 'capturing');
  assert.deepEqual(engine.commands, []);
  await issue();
  assert.equal(pod.view().state.kind, 'captured');
  assert.deepEqual(journal, ['require web', 'report captured=true commands=SetIdentity,CapturePod']);
});

test('a pod that ends gives its connections until the drain deadline', async () => {
  const { pod, engine, journal, issue } = makePod();
  pod.decide(IN);
  await issue();
  await pod.stop();
  assert.deepEqual(engine.commands.at(-1), { kind: 'ReleasePod', pod: 1, drainDeadlineMs: 1000 });
  assert.equal(journal.at(-1), 'release web');
});

test('a pod may start only once it is captured, or known to stay outside', async () => {
  const { pod, issue } = makePod();
  let started = false;
  const settled = pod.settled(1000, 1000).then(() => {
    started = true;
  });
  pod.decide(IN);
  await settle();
  assert.equal(started, false);
  await issue();
  await settled;

  const outside = makePod();
  outside.pod.decide(OUT);
  await outside.pod.settled(1000, 1000);
  assert.equal(outside.pod.view().state.kind, 'uncaptured');
});

test('a captured pod may start only once the mesh, as its node sees it, has it under its address', async () => {
  const { pod, setMeshAddresses, issue } = makePod();
  setMeshAddresses([]);
  let started = false;
  const settled = pod.settled(1000, 1000).then(() => {
    started = true;
  });
  pod.decide(IN);
  await issue();
  assert.deepEqual([pod.view().state.kind, started], ['captured', false]);
  setMeshAddresses(['10.0.0.9']);
  await settle();
  assert.equal(started, false, 'that is the pod that had the name before');
  setMeshAddresses(['10.0.0.1']);
  await settled;

  const outside = makePod();
  outside.setMeshAddresses([]);
  outside.pod.decide(OUT);
  await outside.pod.settled(1000, 1000);

  const unknown = makePod();
  unknown.setMeshAddresses([]);
  const late = assert.rejects(
    unknown.pod.settled(1000, 1000),
    /did not tell this node of it within 1000 ms.*groundwire status/,
  );
  unknown.pod.decide(IN);
  await unknown.issue();
  unknown.clock.advance(1001);
  unknown.clock.advance(1001);
  await late;
});

test('fails closed: without a decision, and without a capture, a pod does not start', async () => {
  const undecided = makePod();
  const noDecision = assert.rejects(undecided.pod.settled(1000, 1000), /did not say within 1000 ms/);
  undecided.clock.advance(1001);
  await noDecision;

  const uncaptured = makePod();
  uncaptured.engine.failNext('CapturePod', 'bpf_link_create', 1, 'not permitted');
  const noCapture = assert.rejects(
    uncaptured.pod.settled(1000, 1000),
    /could not be captured within 1000 ms \(.*bpf_link_create/,
  );
  uncaptured.pod.decide(IN);
  await uncaptured.issue();
  uncaptured.clock.advance(1001);
  uncaptured.clock.advance(1001);
  await noCapture;
});

test('a capture that fails is tried again', async () => {
  const { pod, engine, clock, journal, issue } = makePod();
  engine.failNext('CapturePod', 'setns', 2);
  pod.decide(IN);
  await issue();
  assert.match(pod.view().problem ?? '', /setns/);
  assert.ok(journal.includes('step failed'));
  clock.advance(1000);
  await settle();
  assert.equal(pod.view().state.kind, 'captured');
  assert.equal(pod.view().problem, undefined);
});

test('a new decision about a captured pod holds at once, is on disk, and says what has to wait', async () => {
  const { pod, engine, persisted, changes, issue } = makePod();
  pod.decide(IN);
  await issue();
  const begun = changes();
  pod.decide({ ...IN, sameNodeMode: 'tunnel' });
  assert.ok(changes() > begun, 'in this turn');
  assert.equal(pod.view().decision?.sameNodeMode, 'tunnel');
  await settle();
  assert.deepEqual([persisted.at(-1)?.decision?.sameNodeMode, persisted.at(-1)?.captured], ['tunnel', true]);
  assert.deepEqual(pod.view().deferred, []);
  pod.decide({ ...IN, dnsCapture: false, existingConnections: 'close' });
  await settle();
  assert.equal(persisted.at(-1)?.decision?.dnsCapture, false);
  assert.deepEqual(pod.view().deferred, [
    'dns capture false takes effect at the next capture',
    'existing connections close takes effect at the next capture',
  ]);
  const writes = persisted.length;
  pod.decide({ ...IN, dnsCapture: false, existingConnections: 'close' });
  await settle();
  assert.equal(persisted.length, writes, 'what is said twice is written once');
  assert.equal(engine.commands.filter((one) => one.kind === 'CapturePod').length, 1);
});

test('a pod that the engine does not release gives back its certificate all the same', async () => {
  const { pod, engine, journal, issue } = makePod();
  pod.decide(IN);
  await issue();
  engine.failNext('ReleasePod', 'unlink', 5);
  await pod.stop();
  assert.equal(journal.at(-1), 'release web');
});

test('a pod that leaves is released only when nobody dials it through the mesh any more, and a grace later', async () => {
  const { pod, captures, engine, clock, journal, issue, setProtocol } = makePod();
  pod.decide(IN);
  await issue();
  setProtocol('HBONE');
  pod.decide(OUT);
  await settle();
  clock.advance(5000);
  await settle();
  assert.equal(pod.view().state.kind, 'releasing');
  assert.ok(engine.pods.has(1), 'still dialled: still captured');
  assert.deepEqual([captures.size, captures.counters], [1, { started: 1, stopped: 0 }]);
  setProtocol('NONE');
  await settle();
  assert.ok(engine.pods.has(1), 'the grace is not over');
  clock.advance(251);
  await settle();
  assert.equal(engine.pods.size, 0);
  assert.deepEqual([captures.size, captures.counters], [0, { started: 1, stopped: 1 }]);
  assert.equal(pod.view().state.kind, 'uncaptured');
  assert.deepEqual(journal.slice(-2), [
    'report captured=false commands=SetIdentity,CapturePod,ReleasePod',
    'release web',
  ]);
});

test('a pod that comes back gets a handle that the engine has not seen', async () => {
  const { pod, engine, clock, issue } = makePod();
  pod.decide(IN);
  await issue();
  pod.decide(OUT);
  await settle();
  clock.advance(300);
  await settle();
  pod.decide(IN);
  await issue();
  assert.deepEqual(
    engine.commands.flatMap((one) => (one.kind === 'CapturePod' ? [one.pod] : [])),
    [1, 2],
  );
});

test('a pod that is wanted again before it was released is captured as it was', async () => {
  const { pod, engine, clock, issue, setProtocol } = makePod();
  pod.decide(IN);
  await issue();
  const { state } = pod.view();
  for (const stillDialled of [true, false]) {
    setProtocol(stillDialled ? 'HBONE' : 'NONE');
    pod.decide(OUT);
    await settle();
    assert.equal(pod.view().state.kind, 'releasing');
    pod.decide(IN);
    await settle();
    assert.deepEqual(pod.view().state, state);
    assert.equal(pod.view().problem, undefined);
  }
  clock.advance(60_000);
  await settle();
  assert.deepEqual(
    engine.commands.map((one) => one.kind),
    ['SetIdentity', 'CapturePod'],
  );
});

test('a pod that was never captured is not taken for captured when its leaving is taken back', async () => {
  for (const captureFails of [false, true]) {
    const { pod, engine, clock, issue } = makePod();
    if (captureFails) {
      engine.failNext('CapturePod', 'setns', 2);
      await issue();
    }
    let mayStart = false;
    const settled = pod.settled(1000, 120_000).then(() => {
      mayStart = true;
    });
    pod.decide(IN);
    await settle();
    pod.decide(OUT);
    await settle();
    assert.equal(pod.view().state.kind, 'releasing');
    engine.failNext('CapturePod', 'setns', 2);
    pod.decide(IN);
    await settle();
    assert.deepEqual([pod.view().state.kind, mayStart, engine.pods.size], ['capturing', false, 0]);
    await issue();
    clock.advance(1000);
    await settle();
    assert.deepEqual([pod.view().state.kind, mayStart, engine.pods.size], ['captured', true, 1]);
    await settled;
  }
});

test('a pod that was captured once is not taken for captured after its release', async () => {
  const { pod, engine, clock, issue } = makePod();
  pod.decide(IN);
  await issue();
  pod.decide(OUT);
  await settle();
  clock.advance(251);
  await settle();
  assert.equal(pod.view().state.kind, 'uncaptured');
  engine.failNext('CapturePod', 'setns', 2);
  pod.decide(IN);
  await settle();
  pod.decide(OUT);
  await settle();
  pod.decide(IN);
  await settle();
  assert.ok(engine.pods.has(2));
});

test('a pod that is wanted again when its release has begun is released and then captured anew', async () => {
  const { pod, engine, clock, issue } = makePod();
  pod.decide(IN);
  await issue();
  engine.failNext('ReleasePod', 'unlink', 5);
  pod.decide(OUT);
  await settle();
  clock.advance(251);
  await settle();
  assert.match(pod.view().problem ?? '', /unlink/);
  pod.decide(IN);
  await settle();
  assert.equal(pod.view().state.kind, 'captured');
  assert.deepEqual(
    engine.commands.map((one) => ('pod' in one ? `${one.kind} ${one.pod}` : one.kind)),
    ['SetIdentity', 'CapturePod 1', 'ReleasePod 1', 'CapturePod 2'],
  );
});

test('a decision that is taken back while the certificate is awaited leaves nothing', async () => {
  const { pod, engine, clock, issue } = makePod();
  pod.decide(IN);
  await settle();
  pod.decide(OUT);
  await settle();
  clock.advance(300);
  await settle();
  assert.equal(pod.view().state.kind, 'uncaptured');
  await issue();
  assert.ok(!engine.commands.some((one) => one.kind === 'CapturePod'));
});

test('a pod that is stopped while it is being captured is left by the engine, too', async () => {
  const { pod, engine, journal, issue } = makePod();
  pod.decide(IN);
  await settle();
  await pod.stop();
  await issue();
  assert.equal(pod.view().state.kind, 'stopped');
  assert.equal(engine.pods.size, 0);
  assert.deepEqual(journal, ['require web', 'release web']);
});

test('a pod taken over from a previous run is captured at once, before its certificate', async () => {
  const { pod, engine, journal } = makePod({ ...RECORD, captured: true, decision: IN });
  pod.resume();
  await settle();
  assert.ok(engine.pods.has(1));
  assert.equal(pod.view().state.kind, 'captured');
  assert.deepEqual(journal, ['require web', 'report captured=true commands=CapturePod']);
});

test('a pod is in the mesh from its capture to its release, for whoever asks meanwhile', async () => {
  const { pod, clock, issue } = makePod();
  const seen: string[] = [];
  const look = (): number => seen.push(`${pod.view().state.kind} ${pod.view().inMesh}`);
  for (const step of [
    async () => {},
    async () => pod.decide(IN),
    issue,
    async () => pod.decide(OUT),
    async () => pod.decide(IN),
    async () => pod.decide(OUT),
    async () => clock.advance(251),
  ]) {
    await step();
    await settle();
    look();
  }
  assert.deepEqual(seen, [
    'starting false',
    'capturing false',
    'captured true',
    'releasing true',
    'captured true',
    'releasing true',
    'uncaptured false',
  ]);
});

test('a pod taken over is in the mesh before the engine has taken over its rules', async () => {
  for (const [captured, decision] of [
    [true, IN],
    [true, OUT],
    [false, OUT],
  ] as const) {
    const { pod } = makePod({ ...RECORD, captured, decision });
    pod.resume();
    assert.equal(pod.view().inMesh, captured);
    await settle();
    assert.equal(pod.view().inMesh, captured);
  }
});

test('that rules may be in a namespace is on disk before they are', async () => {
  const { pod, engine, persisted } = makePod();
  pod.decide(IN);
  await settle();
  assert.equal(persisted.at(-1)?.captured, true);
  assert.equal(engine.pods.size, 0);
});

test('a pod that the control plane refuses says why', async () => {
  const { pod } = makePod();
  const settled = assert.rejects(pod.settled(1000, 1000), /refuses the pod: runs on node b already/);
  pod.reject('the control plane refuses the pod: runs on node b already');
  await settled;
});

test('a pod that cannot be written down is refused at once, with what somebody has to mend', async () => {
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC', errno: -28 });
  const use = { flag: 'run-dir', value: '/run/x', tried: 'written to', hint: 'name another' };
  const { pod, engine } = makePod(RECORD, () => {
    throw new SettingError(use, full);
  });
  const settled = pod.settled(5000, 5000);
  pod.decide(IN);
  await assert.rejects(settled, /--run-dir \/run\/x cannot be written to: no space left on device; free space/);
  assert.deepEqual(engine.commands, []);
  assert.match(pod.view().problem ?? '', /no space left on device/);
});
