// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { compileMesh } from '#src/compile/compile.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import { readObjects } from '#src/objects/read-objects.ts';
import { compileYaml, podYaml } from './compile-yaml.ts';

const service = (name: string, spec: string): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: shop}\nspec: ${spec}\n---\n`;

test('compileMesh: a Service without clusterIP gets an address of its own that does not depend on its neighbours', () => {
  const spec = '{selector: {app: a}, ports: [{port: 80}]}';
  const addressOf = (text: string, name = 'web'): string | undefined =>
    compileYaml(text).services.get(`shop/${name}.shop.svc.cluster.local`)?.addresses[0]?.address;
  const address = addressOf(service('web', spec));
  assert.match(address ?? '', /^10\.96\.\d+\.\d+$/);
  assert.equal(addressOf(service('api', spec) + service('web', spec) + service('zoo', spec)), address);
  const claimed = service('other', `{clusterIP: ${address}, ports: [{port: 80}]}`);
  assert.notEqual(addressOf(claimed + service('web', spec)), address);
  assert.equal(addressOf(claimed + service('web', spec), 'other'), address);
  assert.equal(addressOf(service('web', '{clusterIP: None, ports: [{port: 80}]}')), undefined);
});

test('compileMesh: an address that two claim is told with both places and with who gets it', () => {
  const store = new ObjectStore(['nodes', 'files']);
  const running = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop', annotations: { 'ambient.istio.io/redirection': 'enabled' } },
    spec: {},
    status: { phase: 'Running', podIP: '10.0.0.1' },
  };
  store.replace('nodes', [readObjects('node n, pod shop/web', [running], () => 0)]);
  const onHost = podYaml('shop', 'host', '10.0.0.1').replace('spec: {', 'spec: {hostNetwork: true, ');
  const ended = podYaml('shop', 'ended', '10.0.0.1').replace('Running', 'Succeeded');
  const machine = `apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop}
spec: {address: 10.0.0.2}
`;
  const services = ['one', 'two', 'three'].map((name) =>
    service(name, `{clusterIP: 10.0.0.${name === 'one' ? 2 : 3}, ports: [{port: 80}]}`),
  );
  store.replace('files', [
    parseManifest('a.yaml', podYaml('shop', 'a', '10.0.0.1')),
    parseManifest('b.yaml', podYaml('shop', 'b', '10.0.0.2')),
    parseManifest('c.yaml', podYaml('shop', 'c', '10.0.0.2')),
    parseManifest('host.yaml', onHost + ended),
    parseManifest('machine.yaml', machine),
    ...services.map((text, index) => parseManifest(`service-${index}.yaml`, text)),
  ]);
  const { notices } = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
  const isOf = 'is an address of';
  const mend = 'give one of them another';
  assert.deepEqual(
    notices.map(({ code, object, message }) => `${code} ${object}: ${message}`).sort(),
    [
      `Pod shop/c: 10.0.0.2 ${isOf} Pod shop/b (b.yaml:1) too, and each node takes it for the one it heard of first; ${mend} (c.yaml:1)`,
      `Pod shop/a: 10.0.0.1 ${isOf} Pod shop/web (node n, pod shop/web) too, which is in the mesh and gets it; ${mend} (a.yaml:1)`,
      `WorkloadEntry shop/vm: 10.0.0.2 ${isOf} Pod shop/b (b.yaml:1) too, and the pod gets it; ${mend} (machine.yaml:1)`,
      `Service shop/one: 10.0.0.2 ${isOf} Pod shop/b (b.yaml:1) too, and connections to it go there; ${mend} (service-0.yaml:1)`,
      `Service shop/two: 10.0.0.3 ${isOf} Service shop/three (service-2.yaml:1) too, and each client gets that of its own namespace, or the one its node heard of first; ${mend} (service-1.yaml:1)`,
    ]
      .map((line) => `ADDRESS_TAKEN ${line}`)
      .sort(),
  );
});

test('compileMesh: pods that have ended or have no address are no workloads, pods that leave are unhealthy', () => {
  const pod = podYaml('shop', 'a', '10.0.0.1');
  const status = (text: string): string | undefined =>
    compileYaml(text).workloads.get('Kubernetes//Pod/shop/a')?.status;
  assert.equal(status(pod), 'HEALTHY');
  assert.equal(status(pod.replace('Running', 'Succeeded')), undefined);
  assert.equal(status(pod.replace('Running', 'Failed')), undefined);
  assert.equal(status(pod.replace(', podIP: 10.0.0.1', '')), undefined);
  assert.equal(
    status(pod.replace('metadata: {', 'metadata: {deletionTimestamp: "2026-01-01T00:00:00Z", ')),
    'UNHEALTHY',
  );
  assert.equal(status(pod.replace('podIP:', 'conditions: [{type: Ready, status: "False"}], podIP:')), 'UNHEALTHY');
});

test('compileMesh: a waypoint that does not exist refuses instead of being left out', () => {
  const { services, notices } = compileYaml(
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/use-waypoint: gone}}\n---\n' +
      service('web', '{ports: [{port: 80}]}') +
      service('own', '{ports: [{port: 80}]}').replace(
        'namespace: shop',
        'namespace: shop, labels: {istio.io/use-waypoint: none}',
      ),
  );
  const waypoint = services.get('shop/web.shop.svc.cluster.local')?.waypoint?.destination;
  assert.ok(waypoint?.kind === 'hostname' && !services.has(`${waypoint.namespace}/${waypoint.hostname}`));
  assert.equal(services.get('shop/own.shop.svc.cluster.local')?.waypoint, undefined);
  assert.deepEqual(
    notices.map(({ code }) => code),
    ['WAYPOINT_UNUSABLE'],
  );
});

test('compileMesh: five thousand pods', (t) => {
  const objects: unknown[] = [];
  for (let i = 0; i < 1_000; i += 1) {
    const spec = { clusterIP: `10.96.${i >> 8}.${i & 255}`, selector: { app: `a${i}` }, ports: [{ port: 80 }] };
    objects.push({ apiVersion: 'v1', kind: 'Service', metadata: { name: `s${i}`, namespace: `n${i % 10}` }, spec });
  }
  for (let i = 0; i < 5_000; i += 1) {
    const metadata = { name: `p${i}`, namespace: `n${i % 10}`, labels: { app: `a${i % 1_000}`, version: 'v1' } };
    const status = { phase: 'Running', podIP: `10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` };
    objects.push({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { nodeName: `node${i % 50}` }, status });
  }
  for (let i = 0; i < 200; i += 1) {
    const spec = {
      selector: { matchLabels: { app: `a${i}` } },
      rules: [{ from: [{ source: { namespaces: ['shop'] } }] }],
    };
    const metadata = { name: `policy${i}`, namespace: `n${i % 10}` };
    objects.push({ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec });
  }
  const store = new ObjectStore(['test']);
  store.replace('test', [readObjects('test', objects)]);
  assert.deepEqual(store.problems(), []);
  const started = performance.now();
  const mesh = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
  t.diagnostic(`compiled in ${(performance.now() - started).toFixed(1)} ms`);
  assert.deepEqual([mesh.workloads.size, mesh.services.size, mesh.authorizations.size], [5_000, 1_000, 200]);
  for (const workload of mesh.workloads.values()) assert.equal(workload.services.size, 1);
});
