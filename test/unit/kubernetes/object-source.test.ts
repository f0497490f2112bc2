// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { ObjectSource } from '#src/kubernetes/object-source.ts';
import { WATCHED_RESOURCES } from '#src/kubernetes/watched-resources.ts';
import type { Log } from '#src/model/log.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { until } from '../../helpers/until.ts';
import { type Answer, event, list, openApiServerDouble, refusal, watch } from './api-server-double.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** As a kubelet reports it, with much that is nothing to the mesh. */
function podOf(name: string, resourceVersion: string, phase = 'Running'): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      uid: `uid-${name}`,
      resourceVersion,
      labels: { app: name },
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', mine: 'kept' },
      managedFields: [{ manager: 'kubelet' }],
    },
    spec: {
      nodeName: 'n1',
      serviceAccountName: 'web',
      volumes: [{ name: 'v', emptyDir: {} }],
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'main', image: 'x', ports: [{ containerPort: 80, name: 'http' }], env: [{ name: 'A' }] }],
    },
    status: { phase, podIP: '10.1.0.2', podIPs: [{ ip: '10.1.0.2' }], conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

/** A source of a server that has these pods and nothing else, and whose watch of pods stays open. */
async function open(t: TestContext, pods: readonly object[]) {
  const server = await openApiServerDouble(t);
  let podWatch: ServerResponse | undefined;
  const answerOf = (url: string): Answer => {
    if (!WATCHED_RESOURCES.some(({ path }) => url.startsWith(path))) return refusal(404, 'NotFound');
    if (url.startsWith('/apis/gateway')) return refusal(404, 'NotFound');
    if (!url.includes('watch=1')) return list('1', url.startsWith('/api/v1/pods') ? pods : []);
    return (response, request) => {
      if (url.startsWith('/api/v1/pods')) podWatch = response;
      watch([], 'stay')(response, request);
      response.flushHeaders();
    };
  };
  server.script((response, request) => answerOf(request.url ?? '')(response, request));
  const store = new ObjectStore(['kubernetes']);
  const clock = new ManualClock();
  const source = new ObjectSource({ client: server.client, store, source: 'kubernetes', clock, log: SILENT });
  t.after(() => source.close());
  await source.open();
  const tell = (type: string, object: object): void => void podWatch?.write(event(type, object));
  const settle = async (what: string, holds: () => boolean): Promise<void> => {
    await until(what, () => {
      clock.advance(10);
      return holds();
    });
  };
  await settle('the watch of pods is open', () => podWatch !== undefined);
  return { store, source, tell, settle };
}

test('object source: what is listed is in the store when it has opened, without what the mesh does not look at, and without a notice', async (t) => {
  const { store } = await open(t, [podOf('web', '1')]);
  const [pod] = store.snapshot().of('Pod');
  assert.equal(pod?.meta.name, 'web');
  assert.deepEqual(pod?.addresses, ['10.1.0.2']);
  assert.deepEqual([...(pod?.meta.annotations.keys() ?? [])], ['mine']);
  assert.deepEqual(store.notices(), []);
  assert.deepEqual(store.problems(), []);
});

test('object source: changes and deletions are told once they are news', async (t) => {
  const { store, tell, settle } = await open(t, [podOf('web', '1')]);
  let told = 0;
  store.watch(() => (told += 1));
  const names = (): string =>
    store
      .snapshot()
      .of('Pod')
      .map(({ meta }) => meta.name)
      .join();
  // A kubelet's heartbeat: another version, and nothing that we look at.
  tell('MODIFIED', podOf('web', '2'));
  tell('ADDED', podOf('cart', '3'));
  await settle('the new one is there', () => names() === 'cart,web');
  assert.equal(told, 1);
  tell('MODIFIED', podOf('web', '4', 'Failed'));
  tell('DELETED', podOf('cart', '5'));
  await settle('the other one is gone', () => names() === 'web');
  assert.equal(store.snapshot().of('Pod')[0]?.phase, 'Failed');
});

test('object source: a kind that the cluster does not have is no reason to wait', async (t) => {
  // Gateways are refused with 404 by the double.
  const { store, source } = await open(t, [podOf('web', '1')]);
  assert.equal(store.snapshot().of('Pod').length, 1);
  assert.deepEqual(store.snapshot().of('Gateway'), []);
  assert.equal(source.counters.failures, 0);
});
