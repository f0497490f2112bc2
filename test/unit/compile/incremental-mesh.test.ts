// SPDX-License-Identifier: Apache-2.0
//
// What is made of changes one after the other, against the whole compilation of what is there then: slow and obvious.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileMesh } from '#src/compile/compile.ts';
import { IncrementalMesh, type MeshChange } from '#src/compile/incremental-mesh.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import { type Notice, noticeText } from '#src/objects/problem.ts';
import { readObjects } from '#src/objects/read-objects.ts';
import { Tellings } from '#src/objects/tellings.ts';

// Few of everything, so that things meet: names, labels, addresses, hosts.
const namespace = fc.constantFrom('shop', 'guests');
const name = fc.constantFrom('a', 'b', 'c');
const app = fc.constantFrom('web', 'db');
const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3');
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const createdAt = fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z');

const meta = (labels: fc.Arbitrary<Record<string, string>> = fc.constant({})) =>
  fc.record({ name, namespace, labels, creationTimestamp: createdAt });

const pod = fc
  .record({
    metadata: fc.record({
      name,
      namespace,
      uid: fc.constantFrom('u1', 'u2'),
      labels: fc.record({ app, 'istio.io/use-waypoint': fc.constantFrom('none', 'way') }, { requiredKeys: ['app'] }),
      annotations: fc.record({ 'ambient.istio.io/redirection': fc.constant('enabled') }, { requiredKeys: [] }),
      deletionTimestamp: maybe(fc.constant('2026-01-03T00:00:00Z')),
    }),
    nodeName: fc.constantFrom('n1', 'n2'),
    hostNetwork: fc.boolean(),
    ip: maybe(address),
    ready: fc.boolean(),
    phase: fc.constantFrom('Running', 'Running', 'Running', 'Succeeded'),
    port: fc.constantFrom(8080, 9090),
  })
  .map(({ metadata, nodeName, hostNetwork, ip, ready, phase, port }) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { nodeName, hostNetwork, containers: [{ ports: [{ name: 'http', containerPort: port }] }] },
    status: {
      phase,
      ...(ip !== undefined && { podIP: ip }),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  }));

const service = fc
  .record({
    metadata: meta(fc.record({ 'istio.io/use-waypoint': fc.constant('way') }, { requiredKeys: [] })),
    selector: maybe(fc.record({ app })),
    clusterIP: maybe(fc.constantFrom('10.96.0.1', '10.0.0.2')),
    targetPort: fc.constantFrom<string | number>('http', 8080),
    publishNotReadyAddresses: fc.boolean(),
  })
  .map(({ metadata, targetPort, ...spec }) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { ...spec, ports: [{ name: 'http', port: 80, targetPort }] },
  }));

const slice = fc
  .record({ metadata: meta(), of: name, pod: maybe(name), uid: maybe(fc.constantFrom('u1', 'u2')), ip: address })
  .map(({ metadata, of, pod: target, uid, ip }) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [
      {
        addresses: [ip],
        ...(target !== undefined && { targetRef: { kind: 'Pod', name: target, ...(uid !== undefined && { uid }) } }),
      },
    ],
  }));

const workloadEntry = fc
  .record({ metadata: meta(fc.record({ app })), address: fc.oneof(address, fc.constant('vm.example')) })
  .map(({ metadata, ...spec }) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata,
    spec,
  }));

const serviceEntry = fc
  .record({ metadata: meta(), host: fc.constantFrom('x.example', 'y.example'), selected: maybe(app), ip: address })
  .map(({ metadata, host, selected, ip }) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata,
    spec: {
      hosts: [host],
      ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
      resolution: 'STATIC',
      ...(selected === undefined
        ? { endpoints: [{ address: ip }] }
        : { workloadSelector: { labels: { app: selected } } }),
    },
  }));

const policy = fc
  .record({ metadata: meta(), selected: maybe(app), from: fc.constantFrom('shop', 'nowhere') })
  .map(({ metadata, selected, from }) => ({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata,
    spec: {
      ...(selected !== undefined && { selector: { matchLabels: { app: selected } } }),
      rules: [{ from: [{ source: { namespaces: [from] } }] }],
    },
  }));

const peerAuthentication = fc
  .record({ metadata: meta(), selected: maybe(app), mode: fc.constantFrom('STRICT', 'PERMISSIVE', 'UNSET') })
  .map(({ metadata, selected, mode }) => ({
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata,
    spec: { ...(selected !== undefined && { selector: { matchLabels: { app: selected } } }), mtls: { mode } },
  }));

const namespaceObject = fc
  .record({ name: namespace, way: maybe(fc.constantFrom('way', 'none')) })
  .map(({ name: own, way }) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: own, labels: { ...(way !== undefined && { 'istio.io/use-waypoint': way }) } },
  }));

const gateway = fc.record({ namespace, ready: fc.boolean() }).map(({ namespace: own, ready }) => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'Gateway',
  metadata: { name: 'way', namespace: own, labels: { 'istio.io/waypoint-for': 'all' } },
  spec: {
    gatewayClassName: 'istio-waypoint',
    listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
  },
  status: ready ? { addresses: [{ type: 'IPAddress', value: '10.96.0.9' }] } : {},
}));

const node = fc
  .record({ name: fc.constantFrom('n1', 'n2'), zone: fc.constantFrom('z1', 'z2') })
  .map(({ name: own, zone }) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: own, labels: { 'topology.kubernetes.io/zone': zone } },
  }));

const object = fc.oneof(
  { weight: 6, arbitrary: pod },
  { weight: 3, arbitrary: service },
  workloadEntry,
  slice,
  serviceEntry,
  policy,
  peerAuthentication,
  namespaceObject,
  gateway,
  node,
);

/** One file of a source with these objects, or without the file when there are none. */
const change = fc.record({
  file: fc.constantFrom('1.yaml', '2.yaml', '3.yaml', '4.yaml', '5.yaml'),
  // Pods alone, which leave the rest as it is; or what has most to do with pods; or anything.
  objects: fc.oneof(
    fc.array(pod, { maxLength: 2 }),
    fc.array(fc.oneof(service, slice), { maxLength: 3 }),
    fc.array(object, { maxLength: 3 }),
  ),
});

function takeIn<T>(table: Map<string, T>, changes: ReadonlyMap<string, T | undefined>): void {
  for (const [key, value] of changes) {
    if (value === undefined) table.delete(key);
    else table.set(key, value);
  }
}

/** What somebody knows who has only ever heard of changes. */
class Follower {
  readonly workloads = new Map();
  readonly services = new Map();
  readonly authorizations = new Map();

  take({ workloads, services, authorizations }: MeshChange): void {
    takeIn(this.workloads, workloads);
    takeIn(this.services, services);
    takeIn(this.authorizations, authorizations);
  }
}

const byKey = <T>(table: ReadonlyMap<string, T>): [string, T][] => [...table].sort(([a], [b]) => (a < b ? -1 : 1));
const texts = (notices: readonly Notice[]): string[] => [...new Set(notices.map(noticeText))].sort();

test('IncrementalMesh: any changes, one after the other, come to what the whole compilation makes of the end', () => {
  // fast-check prints the seed and the path of what it found.
  fc.assert(
    fc.property(
      fc.array(fc.array(change, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 25 }),
      (steps) => {
        const store = new ObjectStore(['test']);
        const notices = new Tellings<Notice>(noticeText);
        const told = new Map<string, number>();
        const mesh = new IncrementalMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS, notices);
        const follower = new Follower();
        for (const step of steps) {
          for (const { file, objects } of step) {
            if (objects.length === 0) store.delete('test', file);
            else store.upsert('test', readObjects(file, objects));
          }
          // All that is generated is valid: what is refused would say nothing of the compilation.
          assert.deepEqual(
            store.problems().filter(({ standing }) => standing !== 'duplicate'),
            [],
          );
          follower.take(mesh.update(store.takeChanges().objects));
          const { added, removed } = notices.takeChanges();
          for (const notice of added) told.set(noticeText(notice), (told.get(noticeText(notice)) ?? 0) + 1);
          for (const notice of removed) told.set(noticeText(notice), (told.get(noticeText(notice)) ?? 0) - 1);
          const whole = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
          assert.deepEqual(byKey(follower.workloads), byKey(whole.workloads));
          assert.deepEqual(byKey(follower.services), byKey(whole.services));
          assert.deepEqual(byKey(follower.authorizations), byKey(whole.authorizations));
          assert.deepEqual(byKey(mesh.current().workloads), byKey(whole.workloads));
          assert.deepEqual(
            [...told].flatMap(([text, count]) => (count > 0 ? [text] : [])).sort(),
            texts(whole.notices),
          );
        }
      },
    ),
    { numRuns: 400 },
  );
});

test('IncrementalMesh: what did not change is not said again', () => {
  const store = new ObjectStore(['test']);
  const mesh = new IncrementalMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS, new Tellings<Notice>(noticeText));
  const podOf = (own: string, ip: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: own, namespace: 'shop', labels: { app: 'web' } },
    spec: {},
    status: { phase: 'Running', podIP: ip },
  });
  const update = (file: string, ...objects: readonly unknown[]): string[] => {
    store.upsert('test', readObjects(file, objects));
    const { workloads, services, authorizations } = mesh.update(store.takeChanges().objects);
    return [...workloads.keys(), ...services.keys(), ...authorizations.keys()].map(
      (key) => key.split('/').at(-1) ?? '',
    );
  };
  assert.deepEqual(update('pods.yaml', podOf('a', '10.0.0.1'), podOf('b', '10.0.0.2')), ['a', 'b']);
  assert.deepEqual(update('pods.yaml', podOf('a', '10.0.0.1'), podOf('b', '10.0.0.3')), ['b']);
  const web = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop' },
    spec: { selector: { app: 'web' }, clusterIP: '10.96.0.1', ports: [{ port: 80 }] },
  };
  assert.deepEqual(update('web.yaml', web), ['a', 'b', 'web.shop.svc.cluster.local']);
  assert.deepEqual(update('web.yaml', web), []);
  const other = {
    ...web,
    metadata: { name: 'other', namespace: 'shop' },
    spec: { ...web.spec, selector: { app: 'x' } },
  };
  assert.deepEqual(update('other.yaml', { ...other, spec: { ...other.spec, clusterIP: '10.96.0.2' } }), [
    'other.shop.svc.cluster.local',
  ]);
});
