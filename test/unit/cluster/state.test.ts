// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ChangeLog } from '#src/cluster/change-log.ts';
import { KeptState } from '#src/cluster/kept-state.ts';
import { ManifestLog } from '#src/cluster/manifest-log.ts';
import { MeshPublisher, SOURCES } from '#src/cluster/mesh-publisher.ts';
import { runsOnNode } from '#src/cluster/node-identities.ts';
import { Publication } from '#src/cluster/publication.ts';
import { ReportedPods } from '#src/cluster/reported-pods.ts';
import { RestoreError } from '#src/cluster/restore-error.ts';
import { compileMesh } from '#src/compile/compile.ts';
import { DEFAULT_ENROLMENT_SETTINGS, decideCapture } from '#src/compile/enrolment.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { encodeObject } from '#src/discovery/encode.ts';
import type { RegisteredPod } from '#src/discovery/pod-table.ts';
import type { EncodedResource } from '#src/discovery/resource.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import type { Notice } from '#src/objects/problem.ts';
import { readObjects } from '#src/objects/read-objects.ts';
import type { TellingChanges } from '#src/objects/tellings.ts';
import { compileYaml, podYaml, securityYaml } from '../compile/compile-yaml.ts';
import { ManualClock, recordingLog, temporaryFolder } from '../discovery/loopback.ts';

const POD: RegisteredPod = {
  node: 'a',
  uid: 'uid-web',
  name: 'web',
  namespace: 'shop',
  serviceAccount: 'web',
  labels: {},
  annotations: {},
  ips: ['10.244.0.1'],
  containerPorts: [],
  captured: true,
  terminating: false,
  subdomain: '',
};
const POLICY = securityYaml('AuthorizationPolicy', 'shop/locked', '  action: ALLOW');

const savePods = (kept: KeptState, pods = [POD]): boolean => {
  const byUid = new Map(pods.map((pod) => [pod.uid, pod]));
  return kept.savePods(byUid, () => byUid);
};

test('KeptState: pods come back as they were; the file is its owner’s alone', (t) => {
  const directory = temporaryFolder(t);
  const { log } = recordingLog();
  assert.deepEqual(new KeptState(directory, log).loadPods(), []);
  assert.equal(savePods(new KeptState(directory, log)), true);
  assert.deepEqual(new KeptState(directory, log).loadPods(), [POD]);
  assert.equal(statSync(join(directory, 'registry.json')).mode & 0o777, 0o600);
});

test('KeptState: fails closed: a damaged registry is refused, damaged manifests are told and left out', (t) => {
  const directory = temporaryFolder(t);
  const { log, lines } = recordingLog();
  const kept = new KeptState(directory, log);
  savePods(kept);
  kept.saveManifests(new Map(), () => []);
  for (const file of ['registry.json', 'manifests.json']) {
    const path = join(directory, file);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^groundwire-\w+ /, 'x'));
  }
  assert.throws(
    () => kept.loadPods(),
    (error) => error instanceof RestoreError && /registry\.json is damaged/.test(error.message),
  );
  assert.deepEqual(kept.loadManifests(), []);
  assert.deepEqual([kept.counters.unreadable, lines[0]?.level], [1, 'error']);
});

test('KeptState: manifests in force come back, of refused objects the last good version', (t) => {
  const { log } = recordingLog();
  const kept = new KeptState(temporaryFolder(t), log);
  const store = new ObjectStore(['m']);
  store.replace('m', [parseManifest('a.yaml', POLICY)]);
  store.replace('m', [parseManifest('a.yaml', POLICY.replace('ALLOW', 'SHRUG'))]);
  const files = store.inForce('m').map((file) => [file.file, file] as const);
  kept.saveManifests(new Map(files), () => files);

  const policiesOf = (one: ObjectStore) => one.snapshot().of('AuthorizationPolicy');
  assert.equal(policiesOf(store).length, 1);
  const later = new ObjectStore(['m']);
  later.replace('m', kept.loadManifests());
  assert.deepEqual(policiesOf(later), policiesOf(store));
  later.replace('m', [parseManifest('a.yaml', 'a: [')]);
  assert.deepEqual(policiesOf(later), policiesOf(store), 'a file broken at restart keeps what it said last');
  later.replace('m', []);
  assert.deepEqual(later.snapshot().of('AuthorizationPolicy'), [], 'a file removed meanwhile is gone');
});

test('KeptState: a disk that cannot be written is told once and counted each time', (t) => {
  const directory = temporaryFolder(t);
  mkdirSync(join(directory, 'registry.json'));
  const { log, lines } = recordingLog();
  const kept = new KeptState(directory, log);
  assert.deepEqual([savePods(kept), savePods(kept)], [false, false]);
  assert.equal(kept.counters.writeFailures, 2);
  assert.equal(lines.length, 1);
});

test('Publication: an object that cannot be sent is named and counted, its last version stays, the others go out', () => {
  const { log, lines } = recordingLog();
  let broken = '';
  const publication = new Publication(log, (object) => {
    if (object.kind === 'workload' && object.workload.name === broken) throw new TypeError('not an IP address: "x"');
    return encodeObject(object);
  });
  const whole = compileYaml(podYaml('n', 'one', '10.0.0.1') + podYaml('n', 'two', '10.0.0.2'));
  const before = publication.encode(whole, true).upserts;
  broken = 'one';
  const mesh = compileYaml(podYaml('n', 'one', '10.0.0.9') + podYaml('n', 'two', '10.0.0.8'));
  const { upserts: after, removals } = publication.encode(mesh, true);
  const find = (list: readonly EncodedResource[], name: string) => list.find((one) => one.name.endsWith(name));
  assert.deepEqual([find(after, '/one'), removals], [undefined, []], 'nothing is said of it, so the last one stays');
  assert.notEqual(find(after, '/two')?.version, find(before, '/two')?.version);
  publication.encode(mesh, true);
  assert.equal(publication.counters.unencodable, 2);
  assert.deepEqual(
    lines.map(({ fields }) => fields['object']),
    ['workload Kubernetes//Pod/n/one'],
  );
});

test('ReportedPods: a lost pod is dialled through the mesh or not at all, and no Service sends to it', () => {
  const reported = new ReportedPods(() => ({
    captured: true,
    terminating: false,
    subdomain: '',
    sameNodeMode: 'handoff',
    existingConnections: 'keep',
    dnsCapture: true,
    reason: '',
  }));
  const store = new ObjectStore([SOURCES.nodes]);
  const describe = (pod: RegisteredPod): unknown => {
    store.apply(SOURCES.nodes, reported.update(new Map([[pod.uid, pod]]), [], store.snapshot()).manifests);
    const [workload] = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS).workloads.values();
    return [workload?.tunnelProtocol, workload?.status];
  };
  const pod = { ...POD, captured: true };
  assert.deepEqual(describe(pod), ['HBONE', 'HEALTHY']);
  assert.deepEqual(describe({ ...pod, lostSinceMs: 1 }), ['HBONE', 'UNHEALTHY']);
  assert.deepEqual(describe(pod), ['HBONE', 'HEALTHY']);
});

test('ReportedPods: a pod in a namespace, or under an account, that no manifest has is told of, and works', () => {
  const settings = DEFAULT_ENROLMENT_SETTINGS;
  const reported = new ReportedPods((pod, namespace) => decideCapture(pod, namespace, settings));
  const store = new ObjectStore([SOURCES.nodes, SOURCES.manifests]);
  const objects = [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'shop', labels: { 'istio.io/dataplane-mode': 'ambient' } },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web', namespace: 'shop' } },
  ];
  store.replace(SOURCES.manifests, [readObjects('shop.yaml', objects, () => 1)]);
  const expectNotices = (more: Partial<RegisteredPod>, capture: boolean, expected: readonly string[]): void => {
    const pod = { ...POD, ...more };
    reported.update(new Map([[pod.uid, undefined]]), [], store.snapshot());
    const { decisions, notices, refused } = reported.update(new Map([[pod.uid, pod]]), [], store.snapshot());
    assert.deepEqual(refused, []);
    assert.deepEqual([decisions[0]?.capture, decisions[0]?.notices], [capture, expected]);
    assert.deepEqual(
      notices.added.map(({ code, message }) => [code, message]),
      expected.map((message) => ['OBJECT_MISSING', message]),
    );
  };
  expectNotices({ namespace: 'shop', serviceAccount: 'web' }, true, []);
  expectNotices({ namespace: 'shop', serviceAccount: 'default' }, true, []);
  expectNotices({ namespace: 'shop', serviceAccount: 'wbe' }, true, [
    'service account shop/wbe has no object in the manifests: the pod has its identity all the same',
  ]);
  expectNotices({ namespace: 'shpo', serviceAccount: 'web' }, false, [
    'namespace shpo has no object in the manifests: the pod is outside the mesh',
  ]);
  expectNotices({ namespace: 'shpo', labels: { 'istio.io/dataplane-mode': 'ambient' } }, true, [
    'namespace shpo has no object in the manifests: no label of it counts',
  ]);
});

test('MeshPublisher: writes down before it publishes, and a change that cannot be compiled ends nothing', (t) => {
  const directory = temporaryFolder(t);
  const { log, lines } = recordingLog();
  const clock = new ManualClock();
  const kept = new KeptState(directory, log);
  const published: { names: string[]; onDisk: string }[] = [];
  const told: (readonly string[])[] = [];
  let pods: readonly RegisteredPod[] = [];
  let fails = false;
  const publisher = new MeshPublisher({
    store: new ObjectStore([SOURCES.nodes, SOURCES.manifests]),
    registry: {
      pods: () => [...pods],
      takeChanges: () => new Map(pods.map((pod) => [pod.uid, pod])),
      decide() {},
      reject() {},
      tellProblems: (list) => told.push(list),
    },
    reported: new ReportedPods(() => {
      if (fails) throw new Error('cannot be decided');
      return {
        captured: false,
        terminating: false,
        subdomain: '',
        sameNodeMode: 'handoff',
        existingConnections: 'keep',
        dnsCapture: true,
        reason: '',
      };
    }),
    publication: new Publication(log),
    delta: {
      publish: ({ upserts }) => {
        const onDisk = readFileSync(join(directory, 'registry.json'), 'utf8');
        published.push({ names: upserts.map(({ name }) => name), onDisk });
      },
    },
    kept,
    changeLog: new ChangeLog(log),
    manifestLog: new ManifestLog(log, clock),
    settings: DEFAULT_COMPILE_SETTINGS,
    clock,
    log,
  });
  pods = [POD];
  publisher.changed();
  clock.advance(5);
  assert.deepEqual(published[0]?.names, ['Kubernetes//Pod/shop/web']);
  assert.match(published[0]?.onDisk ?? '', /uid-web/);
  fails = true;
  publisher.changed();
  clock.advance(5);
  assert.deepEqual([published.length, publisher.counters.failures], [1, 1]);
  assert.match(String(lines.at(-1)?.fields['reason']), /cannot be decided/);
  fails = false;
  publisher.changed();
  clock.advance(5);
  assert.equal(published.length, 2);
  publisher.close();
  publisher.changed();
  clock.advance(5);
  assert.equal(published.length, 2, 'what is taken apart is not published');
  assert.equal(told.length, 1, 'nodes hear of what is wrong when that is something else');
});

test('runsOnNode: a Pod that has ended gives its node no identity any more', () => {
  const store = new ObjectStore(['m']);
  const pod = (phase: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: p-${phase.toLowerCase()}, namespace: shop}\nspec: {nodeName: a, serviceAccountName: ${phase.toLowerCase()}}\nstatus: {phase: ${phase}}\n---\n`;
  store.replace('m', [parseManifest('pods.yaml', ['Running', 'Failed', 'Succeeded'].map(pod).join(''))]);
  const runs = (serviceAccount: string, node = 'a') =>
    runsOnNode(
      { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount },
      node,
      [POD],
      store.snapshot().of('Pod'),
    );
  assert.deepEqual(
    ['running', 'failed', 'succeeded', 'web'].map((name) => runs(name)),
    [true, false, false, true],
  );
  assert.equal(runs('web', 'b'), false);
});

function came<T>(added: readonly T[]): TellingChanges<T> {
  return { added, removed: [] };
}

function gone<T>(removed: readonly T[]): TellingChanges<T> {
  return { added: [], removed };
}

test('ManifestLog: a flood of problems is cut, and as long as there are some it reminds', () => {
  const { log, lines } = recordingLog();
  const clock = new ManualClock();
  const manifestLog = new ManifestLog(log, clock);
  const problems = Array.from({ length: 60 }, (_, i) => ({
    file: `${i}.yaml`,
    line: 1,
    object: '',
    field: '',
    reason: 'bad',
    standing: 'nothing' as const,
  }));
  manifestLog.report(came(problems), came([]));
  assert.deepEqual([lines.length, lines.at(-1)?.fields], [51, { not_shown: 10 }]);
  clock.advance(10 * 60_000);
  assert.deepEqual([lines.length, lines.at(-1)?.fields['problems']], [52, 60]);
  const told = manifestLog.describe();
  assert.deepEqual(
    [told.length, told[0], told.at(-1)],
    [
      21,
      'manifest refused, there is no version of it in force: 0.yaml:1: bad',
      'manifests have 40 more problems; the log names them',
    ],
  );
  manifestLog.report(gone(problems), came([]));
  assert.deepEqual(manifestLog.describe(), []);
  const count = lines.length;
  clock.advance(10 * 60_000);
  assert.equal(lines.length, count);
});

test('ManifestLog: what is accepted in vain is among the problems, other notices are not', () => {
  const { log, lines } = recordingLog();
  const manifestLog = new ManifestLog(log, new ManualClock());
  const notice = { object: 'AuthorizationPolicy n/p', message: 'in vain' } as const;
  const codes = ['NOT_ENFORCED', 'MATCHES_NOBODY', 'NO_EFFECT', 'DRY_RUN'] as const;
  const notices: readonly Notice[] = codes.map((code) => ({ ...notice, code }));
  manifestLog.report(came([]), came(notices));
  assert.equal(lines.length, 4);
  assert.deepEqual(
    manifestLog.describe(),
    ['not enforced', 'matches nobody', 'has no effect'].map((text) => `${text}: AuthorizationPolicy n/p: in vain`),
  );
  manifestLog.report(came([]), gone(notices));
  assert.deepEqual(manifestLog.describe(), []);
});

test('ManifestLog: each problem has the headline of what it leaves in force', () => {
  const { log, lines } = recordingLog();
  const manifestLog = new ManifestLog(log, new ManualClock());
  const standings = ['last-good', 'nothing', 'denied', 'duplicate'] as const;
  manifestLog.report(
    came(
      standings.map((standing, i) => ({ file: `${i}.yaml`, line: 1, object: '', field: '', reason: 'bad', standing })),
    ),
    came([]),
  );
  assert.deepEqual(
    lines.map(({ message }) => message),
    [
      'manifest refused, the last good version stays',
      'manifest refused, there is no version of it in force',
      'manifest refused and no version was ever good: its scope is closed until it is corrected or removed',
      'duplicate in the manifests ignored',
    ],
  );
});

test('ChangeLog: counts what is in force at the start, then names what was accepted, a few of many', () => {
  const { log, lines } = recordingLog();
  const changes = new ChangeLog(log);
  const change = (key: string, before: unknown, now: unknown) => ({ key, before, now, keptOut: false });
  const services = (names: string, before: unknown, now: unknown) =>
    names.split('').map((name) => change(`Service shop/${name}`, before, now));
  changes.report([change('Namespace shop', undefined, {}), ...services('ab', undefined, {})]);
  changes.report([]);
  changes.report([
    change('Namespace shop', {}, { labels: {} }),
    ...services('a', {}, undefined),
    ...services('cdefgh', undefined, {}),
    { ...change('Pod shop/run', undefined, {}), keptOut: true },
  ]);
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields]),
    [
      ['info', 'manifests in force', { objects: 3, kinds: 'Namespace 1, Service 2' }],
      [
        'info',
        'manifests changed',
        {
          added: 'Service shop/c, Service shop/d, Service shop/e, Service shop/f, Service shop/g and 1 more',
          changed: 'Namespace shop',
          removed: 'Service shop/a',
        },
      ],
    ],
  );
  assert.deepEqual(changes.counters, { accepted: 10, removed: 1 });
});

test('a manifest Pod with the name of a running one is told once when it appears and once when it is gone', () => {
  for (const isFirst of [true, false]) {
    const { log, lines } = recordingLog();
    const clock = new ManualClock();
    const changes = new ChangeLog(log);
    const manifests = new ManifestLog(log, clock);
    const store = new ObjectStore(['nodes', 'manifests']);
    const said = (): string[] => {
      changes.report(store.takeWritten('manifests'));
      manifests.report(store.takeChanges().problems, came([]));
      return lines.splice(0).map(({ message }) => message);
    };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'shop' }, spec: {} };
    const run = (): void => store.replace('nodes', [readObjects('node n, pod shop/web', [pod], () => 0)]);
    const write = (): void => store.replace('manifests', [readObjects('pod.yaml', [pod])]);
    assert.deepEqual(said(), ['manifests in force']);
    (isFirst ? write : run)();
    assert.deepEqual(said(), isFirst ? ['manifests changed'] : []);
    (isFirst ? run : write)();
    assert.deepEqual(said(), ['duplicate in the manifests ignored']);
    if (isFirst) store.replace('nodes', []);
    else store.replace('manifests', []);
    assert.deepEqual(said(), ['manifest problem solved']);
    manifests.close();
  }
});

test('ReportedPods: a pod that is told to end is an object that is being deleted, and stays captured', () => {
  const reported = new ReportedPods((pod, namespace) => decideCapture(pod, namespace, DEFAULT_ENROLMENT_SETTINGS));
  const snapshot = new ObjectStore([]).snapshot();
  const deleting = (terminating: boolean): (boolean | undefined)[] =>
    [...reported.update(new Map([[POD.uid, { ...POD, terminating }]]), [], snapshot).manifests.values()].flatMap(
      (manifest) => manifest?.objects.map(({ object }) => object?.meta.deleting) ?? [],
    );
  assert.deepEqual(deleting(false), [false]);
  assert.deepEqual(deleting(true), [true]);
});

test('ReportedPods: a pod with a subdomain has its name below that of the Service', () => {
  const reported = new ReportedPods((pod, namespace) => decideCapture(pod, namespace, DEFAULT_ENROLMENT_SETTINGS));
  const pods = new Map([[POD.uid, { ...POD, subdomain: 'peers' }]]);
  const { manifests } = reported.update(pods, [], new ObjectStore([]).snapshot());
  const objects = [...manifests.values()].flatMap((manifest) => manifest?.objects.map(({ object }) => object) ?? []);
  assert.deepEqual(
    objects.map((object) => object?.kind === 'Pod' && [object.hostname, object.subdomain]),
    [['web', 'peers']],
  );
});
