// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { compileYaml, podYaml, securityYaml } from './compile-yaml.ts';
import { authorizationToJson } from './proto-json.ts';

const STATIC = 'istio-system/istio_converted_static_strict';
const CONVERTED = 'n/converted_peer_authentication_w';

/** Which policies a pod `n/a` names, given the modes of mesh, namespace and workload. */
function named(
  mesh: string,
  namespace: string,
  workload: string,
  ports: Record<number, string> = {},
): readonly string[] {
  const text = [podYaml('n', 'a', '10.0.0.1')];
  const mtls = (mode: string): string => `  mtls: {mode: ${mode}}`;
  if (mesh !== '') text.push(securityYaml('PeerAuthentication', 'istio-system/default', mtls(mesh)));
  if (namespace !== '') text.push(securityYaml('PeerAuthentication', 'n/default', mtls(namespace)));
  if (workload !== '') {
    const entries = Object.entries(ports).map(([port, mode]) => `"${port}": {mode: ${mode}}`);
    const level = entries.length > 0 ? `\n  portLevelMtls: {${entries.join(', ')}}` : '';
    text.push(
      securityYaml('PeerAuthentication', 'n/w', `  selector: {matchLabels: {app: a}}\n${mtls(workload)}${level}`),
    );
  }
  const compiled = compileYaml(text.join(''));
  const policies = compiled.workloads.get('Kubernetes//Pod/n/a')?.authorizationPolicies ?? [];
  for (const key of policies) assert.ok(compiled.authorizations.has(key), `${key} is named and not sent`);
  return policies;
}

test('PeerAuthentication: which policies a workload names', () => {
  const table: [ReturnType<typeof named>, readonly string[]][] = [
    [named('', '', ''), []],
    [named('STRICT', '', ''), [STATIC]],
    [named('PERMISSIVE', '', ''), []],
    [named('STRICT', 'PERMISSIVE', ''), []],
    [named('STRICT', 'DISABLE', ''), []],
    [named('STRICT', 'UNSET', ''), [STATIC]],
    [named('', '', 'STRICT'), [STATIC]],
    [named('', '', 'STRICT', { 80: 'STRICT' }), [STATIC]],
    [named('', '', 'STRICT', { 80: 'PERMISSIVE' }), [CONVERTED]],
    [named('', '', 'STRICT', { 80: 'DISABLE' }), [CONVERTED]],
    [named('STRICT', '', 'PERMISSIVE'), []],
    [named('STRICT', '', 'DISABLE', { 80: 'STRICT' }), [CONVERTED]],
    [named('STRICT', '', 'UNSET'), [STATIC]],
    [named('STRICT', '', 'UNSET', { 80: 'PERMISSIVE' }), [CONVERTED]],
    [named('STRICT', '', 'UNSET', { 80: 'DISABLE' }), [STATIC]],
    [named('PERMISSIVE', '', 'UNSET', { 80: 'STRICT' }), [CONVERTED]],
    // istiod drops the static policy here and sends no other: every port is open.
    [named('STRICT', 'UNSET', 'UNSET', { 80: 'PERMISSIVE' }), [CONVERTED]],
  ];
  for (const [index, [policies, expected]] of table.entries()) assert.deepEqual(policies, expected, `row ${index}`);
});

/** Compiles one AuthorizationPolicy `n/p` and returns its rules as the wire has them. */
function rules(spec: string): unknown {
  const policy = compileYaml(securityYaml('AuthorizationPolicy', 'n/p', `  ${spec}`)).authorizations.get('n/p');
  return policy && (authorizationToJson(policy)['rules'] ?? []);
}

test('AuthorizationPolicy: what only L7 can see narrows an ALLOW and widens a DENY', () => {
  const ports = { matches: [{ destination_ports: [80] }] };
  const table: [string, unknown][] = [
    ['{rules: [{to: [{operation: {methods: [GET]}}]}]}', []],
    ['{rules: [{to: [{operation: {methods: [GET], ports: ["80"]}}]}]}', []],
    ['{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ["80"]}}]}]}', [{ clauses: [ports] }]],
    ['{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}', [{}]],
    ['{action: DENY, rules: [{to: [{operation: {methods: [GET]}}, {operation: {ports: ["80"]}}]}]}', [{}]],
    [
      '{action: DENY, rules: [{when: [{key: connection.sni, values: [a]}], to: [{operation: {ports: ["80"]}}]}]}',
      [{ clauses: [ports] }],
    ],
    ['{action: CUSTOM, provider: {name: x}, rules: [{to: [{operation: {paths: [/a]}}]}]}', [{}]],
    ['{action: AUDIT, rules: [{}]}', undefined],
    ['{targetRefs: [{kind: Service, name: a}], action: DENY, rules: [{}]}', undefined],
    ['{}', []],
  ];
  for (const [spec, expected] of table) assert.deepEqual(rules(spec), expected, spec);
});

test('AuthorizationPolicy: one with targetRefs, which nothing enforces, is told by name', () => {
  const of = (spec: string) =>
    compileYaml(securityYaml('AuthorizationPolicy', 'n/p', `  ${spec}`)).notices.map(
      ({ code, object, message }) => `${code} ${object}: ${message}`,
    );
  const targetRefs = 'targetRefs: [{kind: Service, name: a}], rules: [{}]';
  assert.match(of(`{${targetRefs}, action: DENY}`).join(), /^NOT_ENFORCED AuthorizationPolicy n\/p: .* this DENY;/);
  assert.match(of(`{${targetRefs}, action: AUDIT}`).join(), /^ACTION_UNSUPPORTED /);
  assert.doesNotMatch(of('{action: DENY, rules: [{}]}').join(), /NOT_ENFORCED/);
});

test('AuthorizationPolicy: trust domains are prefixes of principals and are never dropped', () => {
  const prefix = { prefix: 'td/' };
  const one = (match: unknown): unknown => ({ matches: [match] });
  const source = (text: string): unknown => rules(`{action: DENY, rules: [{from: [${text}]}]}`);
  assert.deepEqual(source('{source: {trustDomains: [td]}}'), [{ clauses: [one({ principals: [prefix] })] }]);
  assert.deepEqual(source('{source: {notTrustDomains: [td]}}'), [{ clauses: [one({ not_principals: [prefix] })] }]);
  const both = '{source: {trustDomains: [td], principals: ["*/sa/a"]}}';
  const clauses = [one({ principals: [{ suffix: '/sa/a' }] }), one({ principals: [prefix] })];
  assert.deepEqual(source(both), [{ clauses }]);
  assert.deepEqual(source(`${both}, {source: {namespaces: [b]}}`), [
    { clauses },
    { clauses: [one({ namespaces: [{ exact: 'b' }] })] },
  ]);
  assert.deepEqual(source('{source: {trustDomains: ["*td"]}}'), [{}]);
  assert.deepEqual(rules('{rules: [{from: [{source: {trustDomains: ["*td"]}}]}]}'), []);
  assert.deepEqual(rules('{rules: [{when: [{key: source.serviceAccount, values: [a, b/c]}]}]}'), [
    {
      clauses: [
        one({
          service_accounts: [
            { namespace: 'n', serviceAccount: 'a' },
            { namespace: 'b', serviceAccount: 'c' },
          ],
        }),
      ],
    },
  ]);
});

test('AuthorizationPolicy: scope, selectors of the root namespace, dry run', () => {
  const { authorizations, workloads, notices } = compileYaml(
    podYaml('n', 'a', '10.0.0.1') +
      securityYaml('AuthorizationPolicy', 'istio-system/all', '  {}') +
      securityYaml('AuthorizationPolicy', 'istio-system/sel', '  selector: {matchLabels: {app: a}}') +
      securityYaml('AuthorizationPolicy', 'n/ns', '  {}') +
      securityYaml('AuthorizationPolicy', 'n/empty', '  selector: {matchLabels: {}}') +
      securityYaml('AuthorizationPolicy', 'm/sel', '  selector: {matchLabels: {app: a}}') +
      securityYaml('AuthorizationPolicy', 'n/dry', '  {}', '{istio.io/dry-run: "true"}'),
  );
  const scopes = [...authorizations].map(([key, { scope, dryRun }]) => [key, scope, dryRun]);
  assert.deepEqual(scopes, [
    ['istio-system/all', 'GLOBAL', false],
    ['istio-system/sel', 'WORKLOAD_SELECTOR', false],
    ['m/sel', 'WORKLOAD_SELECTOR', false],
    ['n/dry', 'NAMESPACE', true],
    ['n/empty', 'NAMESPACE', false],
    ['n/ns', 'NAMESPACE', false],
  ]);
  assert.deepEqual(workloads.get('Kubernetes//Pod/n/a')?.authorizationPolicies, ['istio-system/sel']);
  assert.deepEqual(
    notices.map(({ code }) => code),
    // There is no namespace m.
    ['DRY_RUN', 'MATCHES_NOBODY'],
  );
});

test('PeerAuthentication: STRICT with an open port under a STRICT mesh says `notPrincipals *` once, where istiod repeats it', () => {
  const { authorizations } = compileYaml(
    securityYaml('PeerAuthentication', 'istio-system/default', '  mtls: {mode: STRICT}') +
      securityYaml(
        'PeerAuthentication',
        'n/w',
        '  selector: {matchLabels: {app: a}}\n  mtls: {mode: STRICT}\n  portLevelMtls: {"80": {mode: PERMISSIVE}}',
      ),
  );
  const converted = authorizations.get(CONVERTED);
  assert.ok(converted);
  // istiod adds the first clause a second time at the end (convertPeerAuthentication, shouldMergeStrict): all of a rule's
  // clauses have to hold, so that says nothing more.
  assert.deepEqual(authorizationToJson(converted)['rules'], [
    {
      clauses: [{ matches: [{ not_principals: [{ presence: {} }] }] }, { matches: [{ not_destination_ports: [80] }] }],
    },
  ]);
});
