// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { compileMesh } from '#src/manifests/compile.ts';
import { ObjectStore } from '#src/manifests/object-store.ts';
import { parseManifest, readObjects } from '#src/manifests/parse-manifest.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/manifests/settings.ts';
import { securityYaml } from './compile-yaml.ts';

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
  assert.deepEqual(policyOf(store), ['DENY', 'NAMESPACE', [{ clauses: [] }]]);
  const selected = BAD.replace('spec:\n', 'spec:\n  selector: {matchLabels: {app: a}}\n')
    .replace('rulez', 'rules')
    .replace('namespaces', 'namespacez');
  store.replace('directory', [parseManifest('a.yaml', selected)]);
  assert.deepEqual(policyOf(store), ['DENY', 'WORKLOAD_SELECTOR', [{ clauses: [] }]]);
  const allow = securityYaml('AuthorizationPolicy', 'n/p', '  rules: [{from: [{source: {ipBlocks: [x]}}]}]');
  store.replace('directory', [parseManifest('a.yaml', allow)]);
  assert.deepEqual(policyOf(store), ['DENY', 'NAMESPACE', [{ clauses: [] }]]);
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
    ['2.yaml', 'defined twice; 1.yaml:1 is in force and this one is not'],
    ['pods', 'defined twice; 1.yaml:1 is in force and this one is not'],
  ]);
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
