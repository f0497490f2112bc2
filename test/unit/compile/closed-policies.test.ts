// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { compileMesh } from '#src/compile/compile.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import { formatProblem } from '#src/objects/problem.ts';
import { podYaml } from './compile-yaml.ts';

const PODS = [
  'apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\n',
  podYaml('demo', 'victim', '10.0.0.1'),
  podYaml('demo', 'cli', '10.0.0.2'),
].join('');
const DENY = '  action: DENY\n  rules: [{from: [{source: {principals: [cluster.local/ns/demo/sa/cli]}}]}]\n';
const STRICT = '  mtls: {mode: STRICT}\n';

interface Policy {
  readonly api?: string;
  readonly kind?: string;
  readonly meta?: string;
  readonly spec?: string;
}

function policyYaml({
  api = 'security.istio.io/v1',
  kind = 'AuthorizationPolicy',
  meta = '{name: bad, namespace: demo}',
  spec = DENY,
}: Policy): string {
  return `apiVersion: ${api}\nkind: ${kind}\nmetadata: ${meta}\nspec:\n${spec}`;
}

/** What nodes get of one policy beside two pods of its namespace, and what is told. */
function outcomeOf(policy: Policy) {
  const store = new ObjectStore(['test']);
  store.replace('test', [parseManifest('pods.yaml', PODS), parseManifest('bad.yaml', policyYaml(policy))]);
  const { authorizations, workloads, notices } = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
  const victim = workloads.get('Kubernetes//Pod/demo/victim');
  const denied = authorizations.get('demo/groundwire_unreadable_bad');
  const told = [...store.notices(), ...notices].map(({ code, message }) => `${code} ${message}`);
  return {
    problems: store.problems().map(formatProblem),
    told: told.join('\n'),
    deniesNamespace: denied?.scope === 'NAMESPACE' && denied.rules.length === 1,
    deniesSelected: denied?.scope === 'WORKLOAD_SELECTOR' && victim?.authorizationPolicies.length === 1,
    strict: victim?.authorizationPolicies.includes('istio-system/istio_converted_static_strict') === true,
  };
}

test('policies: fails closed on an apiVersion or kind that is nearly that of an AuthorizationPolicy, in the scope it names', () => {
  const table: Policy[] = [
    { api: 'security.istio.io/v2' },
    { api: 'security.istio.oi/v1' },
    { api: 'security.istio/v1' },
    { api: 'v1' },
    { api: 'Security.Istio.io/v1' },
    { api: 'networking.istio.io/v1' },
    { api: 'security.example.org/v1' },
    { api: '""' },
    { api: '1' },
    { kind: 'AuthorisationPolicy' },
    { kind: 'authorizationpolicy' },
    { kind: 'AuthorizationPolicies' },
    { kind: 'AuthorizationPolcy' },
    { kind: 'AuthPolicy' },
    { kind: 'Policy' },
    { kind: '""' },
    { kind: 'AuthorisationPolicy', api: 'security.istoi.io/v1beta1' },
  ];
  for (const policy of table) {
    const whole = outcomeOf(policy);
    assert.equal(whole.deniesNamespace, true, JSON.stringify(policy));
    assert.match(whole.problems.join('\n'), /^bad\.yaml:[12]: AuthorizationPolicy demo\/bad: (apiVersion|kind)/);
    const selected = outcomeOf({ ...policy, spec: `  selector: {matchLabels: {app: victim}}\n${DENY}` });
    assert.equal(selected.deniesSelected, true, JSON.stringify(policy));
  }
});

test('policies: fails closed on what is nearly a PeerAuthentication: STRICT in its scope', () => {
  const table: Policy[] = [
    { kind: 'PeerAuthentication', api: 'security.istio.io/v2' },
    { kind: 'PeerAuthentication', api: 'security.istoi.io/v1' },
    { kind: 'PeerAuthentification' },
    { kind: 'peerauthentication' },
    { kind: 'PeerAuth' },
  ];
  for (const policy of table) assert.equal(outcomeOf({ ...policy, spec: STRICT }).strict, true, JSON.stringify(policy));
});

test('policies: a kind of another group, and one that no node enforces, are told and close nothing', () => {
  const table: Policy[] = [
    { api: 'policy.linkerd.io/v1alpha1' },
    { kind: 'RequestAuthentication' },
    { kind: 'RequestAuthentification' },
    { kind: 'NetworkPolicy', api: 'networking.k8s.io/v1' },
  ];
  for (const policy of table) {
    const { deniesNamespace, strict, told } = outcomeOf(policy);
    assert.deepEqual([deniesNamespace, strict], [false, false], JSON.stringify(policy));
    assert.match(told, /^KIND_SKIPPED .*\(bad\.yaml:1\)$/m);
  }
});

test('policies: one that is valid and concerns nobody is told, with its place and field', () => {
  const deny = (source: string): string => `  action: DENY\n  rules: [{from: [{source: ${source}}]}]\n`;
  const table: [Policy, RegExp][] = [
    [{ spec: '  action: DENY\n' }, /spec\.rules: a DENY without rules denies nothing/],
    [{ spec: '  action: DENY\n  rules: []\n' }, /spec\.rules: a DENY without rules/],
    [{ spec: `  selector: {matchLabels: {app: vicitm}}\n${DENY}` }, /spec\.selector: no workload has these labels/],
    [{ meta: '{name: bad, namespace: dmeo}' }, /metadata\.namespace: there is no namespace dmeo/],
    [{ meta: '{name: bad}' }, /metadata\.namespace: there is no namespace default/],
    [{ spec: deny('{principals: [cluster.locl/ns/demo/sa/cli]}') }, /rules\[0\]\.from\[0\].*trust domain of this mesh/],
    [{ spec: deny('{principals: ["cluster.locl/ns/demo/*"]}') }, /trust domain of this mesh/],
    [{ spec: deny('{principals: [cluster.local/ns/demo/cli]}') }, /has the form/],
    [{ spec: deny('{principals: [cluster.local/ns/dmeo/sa/cli]}') }, /no namespace dmeo/],
    [{ spec: deny('{trustDomains: [cluster.locl]}') }, /trust domain of this mesh/],
    [{ spec: deny('{namespaces: [dmeo]}') }, /no namespace dmeo/],
    [{ spec: deny('{serviceAccounts: [dmeo/cli]}') }, /no namespace dmeo/],
    [
      { spec: '  action: DENY\n  rules: [{when: [{key: source.principal, values: [a.b/ns/demo/sa/cli]}]}]\n' },
      /rules\[0\]\.when\[0\].*trust domain/,
    ],
    [
      { kind: 'PeerAuthentication', spec: `  selector: {matchLabels: {app: vicitm}}\n${STRICT}` },
      /spec\.selector: no workload/,
    ],
  ];
  for (const [policy, expected] of table) {
    const { problems, told } = outcomeOf(policy);
    assert.deepEqual(problems, [], JSON.stringify(policy));
    assert.match(told, expected);
    assert.match(told, /^MATCHES_NOBODY .*\(bad\.yaml:1\)$/m, JSON.stringify(policy));
  }
  for (const spec of [DENY, deny('{principals: ["cluster.*"]}'), deny('{namespaces: ["dm*"]}'), '  action: ALLOW\n'])
    assert.doesNotMatch(outcomeOf({ spec }).told, /MATCHES_NOBODY/, spec);
});

test('policies: a star within a value lets nobody in where it would allow, and is refused where it would deny or except', () => {
  const rule = (action: string, source: string): Policy => ({
    spec: `  action: ${action}\n  rules: [{from: [{source: ${source}}]}]\n`,
  });
  const inner = '["cluster.local/ns/*/sa/cli"]';
  const allow = outcomeOf(rule('ALLOW', `{principals: ${inner}}`));
  assert.deepEqual([allow.problems, allow.deniesNamespace], [[], false]);
  assert.match(allow.told, /^MATCHES_NOBODY spec\.rules\[0\]\.from\[0\]\.source\.principals\[0\]: .*\(bad\.yaml:6\)$/m);
  for (const policy of [
    rule('DENY', `{principals: ${inner}}`),
    rule('ALLOW', `{notPrincipals: ${inner}}`),
    rule('DENY', '{namespaces: ["a*b"]}'),
  ])
    assert.equal(outcomeOf(policy).deniesNamespace, true);
});
