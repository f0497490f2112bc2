// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEFAULT_ENROLMENT_SETTINGS } from '#src/compile/enrolment.ts';
import type { Log } from '#src/model/log.ts';
import { KubernetesPods } from '#src/pods/kubernetes-pods.ts';
import type { PodDecision, PodState, PodView } from '#src/pods/pod.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { until } from '../../helpers/until.ts';
import { event, list, openApiServerDouble } from '../kubernetes/api-server-double.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
const UID = '19bd1bd4-a701-495f-87e0-4f30b615da43';
const AMBIENT = { 'istio.io/dataplane-mode': 'ambient' };

interface PodWords {
  readonly labels?: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly phase?: string;
  readonly hostNetwork?: boolean;
}

function podOf({ labels = {}, ip = '10.1.0.2', phase = 'Running', hostNetwork }: PodWords): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop', uid: UID, resourceVersion: '1', labels },
    spec: {
      nodeName: 'n1',
      serviceAccountName: 'web',
      containers: [{ name: 'main' }],
      ...(hostNetwork && { hostNetwork }),
    },
    status: { phase, ...(ip !== '' && { podIP: ip, podIPs: [{ ip }] }) },
  };
}

function namespaceOf(labels: Readonly<Record<string, string>>): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', resourceVersion: '1', labels } };
}

/** A PodManager that only keeps what it was told. */
class Recorder {
  readonly told: string[] = [];
  readonly #views = new Map<string, PodView>();

  adopt(uid: string, spec: PodView['spec'], made: { addresses: readonly string[]; netnsPath: string }): void {
    this.told.push(`adopt ${spec.namespace}/${spec.name} ${made.addresses.join()}`);
    this.#views.set(uid, { uid, spec, state: { kind: 'starting' } } as PodView);
  }
  decide(uid: string, { capture }: PodDecision): void {
    this.told.push(`decide ${capture}`);
    const state: PodState = capture ? { kind: 'captured', sinceMs: 0 } : { kind: 'uncaptured', reason: '' };
    this.#views.set(uid, { ...(this.#views.get(uid) as PodView), state });
  }
  remove(uid: string): Promise<void> {
    this.told.push('remove');
    this.#views.delete(uid);
    return Promise.resolve();
  }
  find(uid: string): PodView | undefined {
    return this.#views.get(uid);
  }
  list(): readonly PodView[] {
    return [...this.#views.values()];
  }
}

async function open(t: TestContext, pod: object, namespaceLabels: Readonly<Record<string, string>>) {
  const proc = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(proc, { recursive: true }));
  const server = await openApiServerDouble(t);
  const watches = new Map<string, ServerResponse>();
  server.script((response, request) => {
    const kind = (request.url ?? '').startsWith('/api/v1/pods') ? 'pods' : 'namespaces';
    if (request.url?.includes('watch=1')) {
      response.writeHead(200);
      response.flushHeaders();
      watches.set(kind, response);
    } else list('1', [kind === 'pods' ? pod : namespaceOf(namespaceLabels)])(response, request);
  });
  const clock = new ManualClock();
  const pods = new Recorder();
  const forgotten: string[] = [];
  const source = new KubernetesPods({
    client: server.client,
    node: 'n1',
    settings: DEFAULT_ENROLMENT_SETTINGS,
    pods,
    forget: (uid) => forgotten.push(uid),
    clock,
    log: SILENT,
    proc,
  });
  t.after(() => source.close());
  /** The sandbox of the pod, with an address of its own. */
  const start = (address: string): void => {
    mkdirSync(join(proc, '10/net'), { recursive: true });
    writeFileSync(join(proc, '10/cgroup'), `0::/kubepods/pod${UID}/c1\n`);
    writeFileSync(join(proc, '10/stat'), `10 (pause) S ${'0 '.repeat(18)}7 0\n`);
    writeFileSync(join(proc, '10/net/fib_trie'), `     |-- ${address}\n        /32 host LOCAL\n`);
  };
  const settle = (what: string, holds: () => boolean): Promise<void> =>
    until(what, () => {
      clock.advance(100);
      return holds();
    });
  const tell = async (kind: 'pods' | 'namespaces', type: string, object: object): Promise<void> => {
    await settle('it is watched', () => watches.has(kind));
    watches.get(kind)?.write(event(type, object));
  };
  await source.open();
  return { source, pods, forgotten, start, settle, tell };
}

test('kubernetes pods: a labelled pod is adopted once its sandbox is there and owns its address, and not before', async (t) => {
  const { source, pods, start, settle } = await open(t, podOf({}), AMBIENT);
  await settle('it is missed', () => source.unenrolled().length === 1);
  assert.deepEqual(source.unenrolled(), [{ name: 'shop/web', reason: 'no_sandbox' }]);
  start('10.1.0.9');
  await settle('it is looked at', () => source.unenrolled()[0]?.reason === 'foreign_address');
  assert.deepEqual(pods.told, []);
  start('10.1.0.2');
  await settle('it is adopted', () => pods.told.length === 2);
  assert.deepEqual(pods.told, ['adopt shop/web 10.1.0.2', 'decide true']);
  await settle('nothing is missed', () => source.unenrolled().length === 0);
});

test('kubernetes pods: one without an address is waited for', async (t) => {
  const { source, pods, start, settle, tell } = await open(t, podOf({ ip: '' }), AMBIENT);
  start('10.1.0.2');
  await settle('it is missed', () => source.unenrolled()[0]?.reason === 'no_address');
  await tell('pods', 'MODIFIED', podOf({}));
  await settle('it is adopted', () => pods.told.length === 2);
});

test('kubernetes pods: what is not to be captured is left alone', async (t) => {
  const cases: readonly (readonly [PodWords, Readonly<Record<string, string>>])[] = [
    [{}, {}],
    [{ labels: { 'istio.io/dataplane-mode': 'none' } }, AMBIENT],
    [{ hostNetwork: true }, AMBIENT],
    [{ phase: 'Succeeded' }, AMBIENT],
  ];
  for (const [words, labels] of cases) {
    const { source, pods, start, settle } = await open(t, podOf(words), labels);
    start('10.1.0.2');
    let turns = 0;
    await settle('some turns are over', () => ++turns > 5);
    assert.deepEqual([pods.told, source.unenrolled()], [[], []], JSON.stringify(words));
  }
});

test("kubernetes pods: a namespace's label that comes and goes takes its pods in and out, and out they are no business of ours", async (t) => {
  const { pods, forgotten, start, settle, tell } = await open(t, podOf({}), {});
  start('10.1.0.2');
  await tell('namespaces', 'MODIFIED', namespaceOf(AMBIENT));
  await settle('it is in', () => pods.told.includes('decide true'));
  await tell('namespaces', 'MODIFIED', namespaceOf({}));
  await settle('it is out', () => pods.told.includes('remove'));
  assert.equal(pods.told.filter((word) => word === 'decide false').length, 1);
  // That it is out of the mesh has still to be said of it.
  assert.deepEqual(forgotten, []);
});

test('kubernetes pods: one that has ended, or is gone, is removed, and nothing more is said of it', async (t) => {
  for (const end of ['Failed', 'DELETED']) {
    const { pods, forgotten, start, settle, tell } = await open(t, podOf({}), AMBIENT);
    start('10.1.0.2');
    await settle('it is in', () => pods.told.includes('decide true'));
    await (end === 'DELETED' ? tell('pods', 'DELETED', podOf({})) : tell('pods', 'MODIFIED', podOf({ phase: end })));
    await settle('it is removed', () => pods.told.includes('remove'));
    assert.deepEqual(forgotten, [UID]);
  }
});
