// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { MANIFEST_BYTES_MAX, parseManifest } from '#src/manifests/parse-manifest.ts';
import { formatProblem } from '#src/objects/problem.ts';

function problemsOf(text: string): string[] {
  return parseManifest('f.yaml', text).problems.map(formatProblem);
}

test('parseManifest: several documents, lists and JSON', () => {
  const namespace = (name: string): string => `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}}\n`;
  const list = `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: c}}\n- {apiVersion: v1, kind: Node, metadata: {name: d}}\n`;
  const parsed = parseManifest('f.yaml', `# comment\n---\n${namespace('a')}---\n---\n${namespace('b')}---\n${list}`);
  assert.deepEqual(parsed.problems, []);
  assert.deepEqual(
    parsed.objects.map(({ key, line }) => [key, line]),
    [
      ['Namespace a', 3],
      ['Namespace b', 8],
      ['Namespace c', 15],
      ['Node d', 16],
    ],
  );
  const json = parseManifest('f.json', '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"j"}}');
  assert.deepEqual(
    json.objects.map(({ key }) => key),
    ['Namespace j'],
  );
  assert.deepEqual(parseManifest('f.yaml', '').objects, []);
});

test('parseManifest: a problem has file, line, object, field and reason', () => {
  const service =
    'apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  ports:\n  - port: 80\n  - port: 99999\n';
  assert.deepEqual(problemsOf(service), [
    'f.yaml:9: Service shop/web: spec.ports[1].port: port must be between 1-65535, not 99999',
  ]);
  const items = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: p}\n  spec:\n    hostNetwork: "yes"\n`;
  assert.deepEqual(problemsOf(items), [
    'f.yaml:8: Pod default/p: spec.hostNetwork: must be true or false, not string "yes"',
  ]);
});

test('parseManifest: a problem names its object, also where that has no name that can be used', () => {
  const pod = (metadata: string, rest = 'spec: {}'): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: {${metadata}}\n${rest}\n`;
  const objects = (text: string): string[] => parseManifest('f.yaml', text).problems.map(({ object }) => object);
  assert.deepEqual(objects(pod('name: A_b, namespace: shop')), ['Pod shop/A_b']);
  assert.deepEqual(objects(pod('namespace: shop')), ['Pod']);
  assert.deepEqual(objects(pod('name: a, namespace: shop').replace('v1', 'v2')), ['Pod shop/a']);
  assert.deepEqual(objects(pod('name: a, name: a, namespace: shop')), ['Pod shop/a']);
  assert.deepEqual(objects(pod('name: a, namespace: shop', 'spec: [')), ['Pod shop/a']);
  assert.deepEqual(
    objects(pod(`name: ${'A'.repeat(9999)}`)).map((object) => object.length),
    [400],
  );
});

test('parseManifest: unknown kinds are named and skipped, but not misspelt ones of the security group', () => {
  const skipped = parseManifest('f.yaml', 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n');
  assert.deepEqual(
    [skipped.readable, skipped.problems, skipped.notices.map(({ object }) => object)],
    [true, [], ['Deployment web']],
  );
  const misspelt = parseManifest(
    'f.yaml',
    'apiVersion: security.istio.io/v1\nkind: AuthorisationPolicy\nmetadata: {name: a}\n',
  );
  assert.deepEqual([misspelt.readable, misspelt.allNamed, misspelt.objects[0]?.refused], [true, true, true]);
  assert.match(
    problemsOf('apiVersion: security.istio.io/v9\nkind: PeerAuthentication\nmetadata: {name: a}\n')[0] ?? '',
    /unknown version/,
  );
});

test('parseManifest: fails closed on a misspelt field, an empty value and an unknown key of a policy', () => {
  const policy = (spec: string): string[] =>
    problemsOf(
      `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: n}\nspec: ${spec}\n`,
    );
  const table: [string, RegExp][] = [
    ['{rulez: []}', /spec\.rulez: unknown field/],
    ['{action: DENY, rules: [{from: [{source: {principal: [a]}}]}]}', /source\.principal: unknown field/],
    ['{rules: [{from: [{source: {principals: }}]}]}', /principals: has no value/],
    ['{rules: [{from: [{source: {principals: []}}]}]}', /at least one value/],
    ['{rules: [{from: [{source: {}}]}]}', /at least one field/],
    ['{rules: [{from: []}]}', /cannot be empty/],
    ['{action: DENY, rules: [{from: [{source: {principals: ["td/ns/*/sa/web"]}}]}]}', /wildcard/],
    ['{rules: [{from: [{source: {notPrincipals: ["td/ns/*/sa/web"]}}]}]}', /wildcard/],
    ['{rules: [{from: [{source: {ipBlocks: [10.0.0.0/40]}}]}]}', /not an IP address or CIDR/],
    ['{rules: [{to: [{operation: {ports: [8080]}}]}]}', /must be a string/],
    ['{rules: [{to: [{operation: {ports: ["80a"]}}]}]}', /port must be between/],
    ['{rules: [{when: [{key: source.ipp, values: [a]}]}]}', /unknown attribute/],
    ['{rules: [{when: [{key: source.ip}]}]}', /at least one of values/],
    ['{selector: {matchExpressions: []}}', /unknown field/],
    ['{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}', /only one of/],
    ['{action: CUSTOM, rules: [{}]}', /provider: Required/],
    ['{action: Deny}', /Unsupported value: "Deny"/],
  ];
  for (const [spec, reason] of table) assert.match(policy(spec).join('\n'), reason, spec);
});

test('parseManifest: alias bombs, huge files, deep nesting and duplicate keys are refused, each with a line', () => {
  const bomb = Array.from(
    { length: 12 },
    (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`,
  ).join('\n');
  const table: [string, RegExp][] = [
    [`a0: &a0 [x]\n${bomb}`, /alias/i],
    ['#'.repeat(MANIFEST_BYTES_MAX + 1), /larger than/],
    ['['.repeat(1_000_000), /nested deeper/],
    ['- '.repeat(400_000), /nested deeper/],
    ['apiVersion: v1\nkind: Pod\nkind: Pod\n', /f\.yaml:3: Pod: not valid YAML: Map keys must be unique/],
    ['a: [\n', /not valid YAML/],
    ['just text', /must be a mapping/],
  ];
  for (const [text, reason] of table) {
    const parsed = parseManifest('f.yaml', text);
    assert.ok(!parsed.readable || !parsed.allNamed);
    assert.match(parsed.problems.map(formatProblem).join('\n'), reason);
  }
});

const KINDS = [
  ['v1', 'Pod'],
  ['v1', 'Service'],
  ['v1', 'Namespace'],
  ['discovery.k8s.io/v1', 'EndpointSlice'],
  ['security.istio.io/v1', 'AuthorizationPolicy'],
  ['security.istio.io/v1', 'PeerAuthentication'],
  ['networking.istio.io/v1', 'ServiceEntry'],
  ['networking.istio.io/v1', 'WorkloadEntry'],
  ['gateway.networking.k8s.io/v1', 'Gateway'],
] as const;
const WORDS = [
  'spec',
  'status',
  'metadata',
  'name',
  'rules',
  'from',
  'source',
  'ports',
  'port',
  'selector',
  'matchLabels',
  'mtls',
  'mode',
  'endpoints',
  'addresses',
  '__proto__',
  'constructor',
];

function located(text: string): void {
  const parsed = parseManifest('f.yaml', text);
  const lines = text.split('\n').length;
  for (const { file, line, reason } of parsed.problems) {
    assert.equal(file, 'f.yaml');
    assert.ok(Number.isInteger(line) && line >= 1 && line <= lines + 1, `line ${line} of ${lines}`);
    assert.notEqual(reason, '');
  }
  assert.ok((parsed.readable && parsed.allNamed) || parsed.problems.length > 0);
  for (const { refused, object } of parsed.objects) assert.ok(refused || object !== undefined);
}

test('parseManifest: never throws, and every problem has file and line, for any text', () => {
  const fragments = fc.constantFrom(
    '---\n',
    'apiVersion: v1\n',
    'kind: Pod\n',
    '- ',
    '  ',
    '\n',
    ': ',
    '{',
    '}',
    '[',
    ']',
    '&a',
    '*a',
    '<<: *a',
    '"',
    '|\n',
    '!!binary ',
    '? ',
    '# ',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(fc.oneof(fragments, fc.string())).map((parts) => parts.join('')),
      ),
      located,
    ),
    { numRuns: 500 },
  );
});

test('parseManifest: never throws, and every problem has file and line, for any shape of object', () => {
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, 0, -1, 80, 70000, 1.5, '', '*', 'a', '10.0.0.1', 'STRICT', 'None'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...WORDS), tie('value'), { maxKeys: 4 }),
    ),
  }));
  const object = fc
    .tuple(fc.constantFrom(...KINDS), value, value, value)
    .map(([[apiVersion, kind], metadata, spec, status]) => ({ apiVersion, kind, metadata, spec, status }));
  fc.assert(
    fc.property(fc.array(object, { maxLength: 3 }), (objects) =>
      located(objects.map((o) => stringify(o)).join('---\n')),
    ),
    { numRuns: 500 },
  );
});

test('parseManifest: a WorkloadEntry that could not be sent is refused at its field', () => {
  const entry = (spec: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: n}\nspec:\n${spec}\n`;
  const refusal = (spec: string): string => parseManifest('vm.yaml', entry(spec)).problems.map(formatProblem).join();
  assert.match(
    refusal('  address: 10.0.0.1\n  weight: 4294967296'),
    /^vm\.yaml:6: WorkloadEntry n\/vm: spec\.weight: must be between 0 and 4294967295/,
  );
  assert.match(refusal('  address: 10.0.0.1\n  weight: -1'), /spec\.weight/);
  assert.match(refusal('  address: "fe80::1%eth0"'), /^vm\.yaml:5: WorkloadEntry n\/vm: spec\.address: .*zone id/);
  assert.equal(refusal('  address: 10.0.0.1\n  weight: 4294967295'), '');
});
