// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { compileMesh } from '#src/compile/compile.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import { formatProblem } from '#src/objects/problem.ts';
import { readObjects } from '#src/objects/read-objects.ts';
import { securityYaml } from '../compile/compile-yaml.ts';

const GOOD = securityYaml(
  'AuthorizationPolicy',
  'n/p',
  '  action: DENY\n  rules: [{from: [{source: {namespaces: [bad]}}]}]',
);
const BAD = GOOD.replace('rules', 'rulez');

function policyOf(store: ObjectStore, key = 'n/p'): unknown {
  const policy = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS).authorizations.get(key);
  return policy && [policy.action, policy.scope, JSON.stringify(policy.rules).includes('bad') ? 'good' : policy.rules];
}

test('ObjectStore: a refused version never replaces a good one, and removal removes', () => {
  const store = new ObjectStore(['directory']);
  store.replace('directory', [parseManifest('a.yaml', GOOD)]);
  const good = policyOf(store);
  assert.deepEqual(good, ['DENY', 'NAMESPACE', 'good']);
  for (const text of [BAD, 'a: [', GOOD.replace('name: p, ', '')]) {
    store.replace('directory', [parseManifest('a.yaml', text)]);
    assert.deepEqual(policyOf(store), good, text);
    assert.ok(store.problems().length > 0);
  }
  store.replace('directory', [parseManifest('moved.yaml', BAD)]);
  assert.deepEqual(policyOf(store), good, 'moved and broken in one step');
  store.replace('directory', []);
  assert.equal(policyOf(store), undefined);
  assert.deepEqual(store.problems(), []);
});

test('ObjectStore: fails closed for a policy that never had a good version', () => {
  const store = new ObjectStore(['directory']);
  store.replace('directory', [parseManifest('a.yaml', BAD)]);
  assert.deepEqual(policyOf(store, 'n/groundwire_unreadable_p'), ['DENY', 'NAMESPACE', [{ clauses: [] }]]);
  const selected = BAD.replace('spec:\n', 'spec:\n  selector: {matchLabels: {app: a}}\n')
    .replace('rulez', 'rules')
    .replace('namespaces', 'namespacez');
  store.replace('directory', [parseManifest('a.yaml', selected)]);
  assert.deepEqual(policyOf(store, 'n/groundwire_unreadable_p'), ['DENY', 'WORKLOAD_SELECTOR', [{ clauses: [] }]]);
  const allow = securityYaml('AuthorizationPolicy', 'n/p', '  rules: [{from: [{source: {ipBlocks: [x]}}]}]');
  store.replace('directory', [parseManifest('a.yaml', allow)]);
  assert.deepEqual(policyOf(store, 'n/groundwire_unreadable_p'), ['DENY', 'NAMESPACE', [{ clauses: [] }]]);
  store.replace('directory', [parseManifest('a.yaml', GOOD)]);
  assert.deepEqual(policyOf(store), ['DENY', 'NAMESPACE', 'good']);
});

test('ObjectStore: fails closed for a PeerAuthentication that never had a good version', () => {
  const store = new ObjectStore(['directory']);
  const pod =
    'apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\nspec: {}\nstatus: {podIP: 10.0.0.1}\n---\n';
  const text = pod + securityYaml('PeerAuthentication', 'n/default', '  mtls: {mode: STRIKT}');
  store.replace('directory', [parseManifest('a.yaml', text)]);
  const { workloads } = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
  assert.deepEqual(workloads.get('Kubernetes//Pod/n/a')?.authorizationPolicies, [
    'istio-system/istio_converted_static_strict',
  ]);
});

test('ObjectStore: what a policy that was never good cuts is named, and how that ends', () => {
  const told = (name: string, selector: string): string | undefined => {
    const store = new ObjectStore(['directory']);
    const text = securityYaml(
      'AuthorizationPolicy',
      name,
      `  selector: {${selector}}\n  rules: [{from: [{source: {ipBlocks: [x]}}]}]`,
    );
    const strict = securityYaml('PeerAuthentication', name, `  selector: {${selector}}\n  mtls: {mode: STRIKT}`);
    store.replace('directory', [parseManifest('a.yaml', text + strict)]);
    const { notices, authorizations } = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
    const [namespace] = name.split('/');
    assert.ok(
      authorizations.has(`${namespace}/groundwire_unreadable_p`),
      'a node tells it from a real policy by its name',
    );
    return notices
      .filter(({ code }) => code === 'POLICY_UNREADABLE')
      .map(({ message }) => message.replace(/^cannot be understood and has no earlier version, so /, ''))
      .join('; ');
  };
  const until = 'until it is corrected or removed';
  const forbid = 'nobody knows what it was to forbid: every connection to';
  const strict = 'it is taken as STRICT: plaintext to';
  for (const [name, selector, scope] of [
    ['n/p', 'matchLabels: {app: a, tier: b}', 'pods with app=a, tier=b of namespace n'],
    ['n/p', '', 'all pods of namespace n'],
    ['istio-system/p', '', 'all pods of the mesh'],
  ] as const)
    assert.equal(told(name, selector), `${forbid} ${scope} is denied ${until}; ${strict} ${scope} is refused ${until}`);
});

test('ObjectStore: of two definitions the earlier source, then the earlier file wins, and the other is reported', () => {
  const store = new ObjectStore(['directory', 'pods']);
  const namespace = (label: string): string =>
    `apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {from: ${label}}}\n`;
  store.replace('pods', [
    readObjects('pods', [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a', labels: { from: 'pods' } } }]),
  ]);
  const from = (): string | undefined => store.snapshot().of('Namespace')[0]?.meta.labels.get('from');
  assert.equal(from(), 'pods');
  store.replace('directory', [parseManifest('2.yaml', namespace('two')), parseManifest('1.yaml', namespace('one'))]);
  assert.equal(from(), 'one');
  const reasons = store.problems().map(({ file, reason }) => [file, reason]);
  assert.deepEqual(reasons, [
    ['2.yaml', 'defined a second time; 1.yaml:1 is in force and this one is not: remove one of them'],
    ['pods', 'defined a second time; 1.yaml:1 is in force and this one is not: remove one of them'],
  ]);
});

const named = (from: string): string =>
  `apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {from: ${from}}}\n`;
const fromOf = (store: ObjectStore): (string | undefined)[] =>
  store
    .snapshot()
    .of('Namespace')
    .map(({ meta }) => meta.labels.get('from'));

test('ObjectStore: a second definition keeps out of the way of the one in force, wherever it stands', () => {
  const store = new ObjectStore(['directory']);
  const old = parseManifest('b.yaml', named('b'));
  store.replace('directory', [old]);
  const newcomer = parseManifest('a.yaml', `# a\n---\n${named('a')}`);
  store.replace('directory', [newcomer, old]);
  assert.deepEqual(fromOf(store), ['b']);
  assert.deepEqual(
    store.problems().map(({ file, line, reason, standing }) => [file, line, reason, standing]),
    [['a.yaml', 3, 'defined a second time; b.yaml:1 is in force and this one is not: remove one of them', 'duplicate']],
  );
  // Written down and restored it is the same one.
  const restored = new ObjectStore(['directory']);
  const kept = store.inForce('directory').map(({ file, objects }) =>
    readObjects(
      file,
      objects.map(({ source }) => source),
    ),
  );
  restored.replace('directory', kept);
  restored.replace('directory', [newcomer, old]);
  assert.deepEqual(fromOf(restored), ['b']);
  // Broken, it keeps its own last version and does not take the other's.
  store.replace('directory', [newcomer, parseManifest('b.yaml', named('b').replace('labels', 'labels: 7, x'))]);
  assert.deepEqual(fromOf(store), ['b']);
  // Moved within its file, or with its file, it is still the same one.
  store.replace('directory', [newcomer, parseManifest('b.yaml', `${named('other')}---\n${named('b')}`)]);
  assert.deepEqual(fromOf(store), ['b']);
  store.replace('directory', [newcomer, parseManifest('z.yaml', named('b'))]);
  assert.deepEqual(fromOf(store), ['b']);
  store.replace('directory', [newcomer]);
  assert.deepEqual(fromOf(store), ['a']);
  assert.deepEqual(store.problems(), []);
});

test('ObjectStore: what another source keeps out is known, and named with that source', () => {
  const store = new ObjectStore(['pods', 'directory']);
  store.replace('directory', [parseManifest('a.yaml', named('a'))]);
  assert.deepEqual([...store.keptOut('directory')], []);
  const running = readObjects(
    'node n, pod x/y',
    [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a', labels: { from: 'pods' } } }],
    () => 0,
  );
  store.replace('pods', [running]);
  assert.deepEqual([...store.keptOut('directory')], ['Namespace a']);
  assert.deepEqual(
    store.problems().map(({ reason }) => reason),
    ['defined a second time; node n, pod x/y is in force and this one is not: remove one of them'],
  );
});

test('ObjectStore: each problem says what it leaves in force', () => {
  const store = new ObjectStore(['directory']);
  const standings = (): string[] => store.problems().map(({ object, standing }) => `${object} ${standing}`);
  store.replace('directory', [parseManifest('a.yaml', BAD), parseManifest('b.yaml', 'a: [')]);
  assert.deepEqual([...new Set(standings())], ['AuthorizationPolicy n/p denied', ' nothing']);
  store.replace('directory', [parseManifest('a.yaml', GOOD), parseManifest('b.yaml', named('b'))]);
  store.replace('directory', [parseManifest('a.yaml', BAD), parseManifest('b.yaml', 'a: [')]);
  assert.deepEqual([...new Set(standings())], ['AuthorizationPolicy n/p last-good', ' last-good']);
  const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{ports: [{containerPort: 0}]}]}\n';
  store.replace('directory', [parseManifest('a.yaml', pod)]);
  assert.deepEqual(standings(), ['Pod default/a nothing']);
});

test('ObjectStore: an object that cannot be named is refused by itself, and no other of its file with it', () => {
  const service = (name: string, port: number): string =>
    `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: n}\nspec: {ports: [{port: ${port}}]}\n---\n`;
  const nameless = 'metadata: {name: nokind}\n';
  const store = new ObjectStore(['directory']);
  const say = (text: string): void => store.replace('directory', [parseManifest('a.yaml', text)]);
  const services = (): unknown[] =>
    store
      .snapshot()
      .of('Service')
      .map(({ meta, ports }) => [meta.name, ports[0]?.port]);
  const problems = (): string[] => store.problems().map((problem) => `${problem.standing} ${formatProblem(problem)}`);

  say(service('aa', 1) + service('gone', 1));
  say(service('aa', 2) + service('bb', 2) + BAD + nameless);
  assert.deepEqual(services(), [
    ['aa', 2],
    ['bb', 2],
    ['gone', 1],
  ]);
  assert.deepEqual(policyOf(store, 'n/groundwire_unreadable_p'), ['DENY', 'NAMESPACE', [{ clauses: [] }]]);
  assert.match(problems()[0] ?? '', /^denied a\.yaml:\d+: AuthorizationPolicy n\/p: spec\.rulez: unknown field/);
  assert.deepEqual(problems().slice(1), [
    'last-good a.yaml:18: not a Kubernetes object: apiVersion and kind are needed; until that is corrected, what the file named before and does not name now stays in force: Service n/gone',
  ]);

  // It stays however often the file is edited, and over a restart.
  const restored = store.inForce('directory').map(({ file, objects }) =>
    readObjects(
      file,
      objects.map(({ source }) => source),
    ),
  );
  store.replace('directory', restored);
  say(service('aa', 3) + nameless);
  assert.deepEqual(services(), [
    ['aa', 3],
    ['bb', 2],
    ['gone', 1],
  ]);
  // Corrected, the file means what it says.
  say(service('aa', 3));
  assert.deepEqual(services(), [['aa', 3]]);
  assert.deepEqual(problems(), []);
  // With nothing that it may have been, nothing of it is in force.
  store.replace('directory', []);
  say(service('aa', 1) + nameless);
  assert.deepEqual(problems(), ['nothing a.yaml:6: not a Kubernetes object: apiVersion and kind are needed']);
});

test('ObjectStore: listeners hear of a problem and of its end, also when no object changed', () => {
  const store = new ObjectStore(['directory']);
  const manifest = parseManifest('a.yaml', GOOD);
  store.replace('directory', [manifest]);
  const heard: number[] = [];
  store.watch(() => heard.push(store.problems().length));
  const unreadable = { file: 'sub', line: 1, object: '', field: '', reason: 'EACCES', standing: 'nothing' as const };
  store.replace('directory', [manifest], [unreadable]);
  store.replace('directory', [manifest], [{ ...unreadable }]);
  store.replace('directory', [manifest], []);
  assert.deepEqual(heard, [1, 0]);
});

test('ObjectStore: listeners hear of changes, once each, and of nothing else', () => {
  const store = new ObjectStore(['directory']);
  let calls = 0;
  const unsubscribe = store.watch(() => {
    calls += 1;
  });
  const manifest = parseManifest('a.yaml', GOOD);
  store.replace('directory', [manifest]);
  store.replace('directory', [manifest]);
  assert.equal(calls, 1);
  store.replace('directory', [manifest, parseManifest('b.yaml', '')]);
  assert.equal(calls, 2);
  unsubscribe();
  store.replace('directory', []);
  assert.equal(calls, 2);
});
