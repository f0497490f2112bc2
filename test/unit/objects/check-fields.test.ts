// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { FIELDS, type Fields } from '#src/objects/fields.ts';
import { formatProblem } from '#src/objects/problem.ts';

const META = 'metadata: {name: a, namespace: n}';

/** What is said of one object: notices and problems. */
function said(head: string, body: string): string[] {
  const { notices, problems } = parseManifest('f.yaml', `${head}\n${META}\n${body}\n`);
  return [
    ...notices.map(({ code, object, message }) => `${code} ${object}: ${message}`),
    ...problems.map(formatProblem),
  ];
}

test('fields: one that has no effect is told with its place, an empty one is as if it were not there', () => {
  const service = 'apiVersion: v1\nkind: Service';
  assert.deepEqual(said(service, 'spec:\n  externalIPs: [192.0.2.1]\n  ports: [{port: 80}]'), [
    'FIELD_IGNORED Service n/a: spec.externalIPs: has no effect: nothing is reached by these addresses here (f.yaml:5)',
  ]);
  assert.match(
    said(service, 'spec: {ports: [{port: 80, nodePort: 30080}]}').join(),
    /spec\.ports\[0\]\.nodePort: has no effect/,
  );
  assert.deepEqual(said(service, 'spec: {externalIPs: [], loadBalancerIP: "", ports: [{port: 80}]}'), []);
});

test('fields: one that there is not is told, with the one that was meant; of a security object it refuses', () => {
  const table: [string, string, RegExp][] = [
    [
      'apiVersion: v1\nkind: Service',
      'spec: {selectr: {app: a}}',
      /FIELD_UNKNOWN .* spec\.selectr: there is no field selectr here.*did you mean selector\?/,
    ],
    [
      'apiVersion: v1\nkind: Pod',
      'spec: {containers: [{ports: [{containerport: 80}]}]}',
      /containers\[0\]\.ports\[0\]\.containerport.*did you mean containerPort\?/,
    ],
    ['apiVersion: v1\nkind: Namespace', 'labels: {istio.io/dataplane-mode: ambient}', /there is no field labels here/],
    [
      'apiVersion: networking.istio.io/v1\nkind: ServiceEntry',
      'spec: {hosts: [a.b], ports: [{name: x, number: 1, protocol: TCP}], exportto: [n]}',
      /did you mean exportTo\?/,
    ],
    [
      'apiVersion: networking.istio.io/v1\nkind: WorkloadEntry',
      'spec: {address: 192.0.2.1, wieght: 3}',
      /did you mean weight\?/,
    ],
    [
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication',
      'spec: {mtsl: {mode: STRICT}}',
      /^f\.yaml:4: PeerAuthentication n\/a: spec\.mtsl: unknown field/m,
    ],
  ];
  for (const [head, body, expected] of table) assert.match(said(head, body).join('\n'), expected);
});

test('fields: what others made is not told: a Gateway that is no waypoint, a slice of a controller', () => {
  const gateway = 'apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway';
  const told = said(gateway, 'spec: {gatewayClassName: nginx, listeners: [{port: 80, tls: {}, hostname: a.b}]}');
  assert.match(
    told.join(),
    /^KIND_SKIPPED Gateway n\/a: spec\.gatewayClassName: a Gateway of class nginx is left out[^,]*$/,
  );
  const slice = 'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice';
  const endpoints = 'addressType: IPv4\nendpoints: [{addresses: [192.0.2.1], zone: z}]';
  assert.match(said(slice, endpoints).join(), /FIELD_IGNORED .* endpoints\[0\]\.zone/);
  const label = 'labels: {endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}';
  const { notices } = parseManifest('f.yaml', `${slice}\nmetadata: {name: a, namespace: n, ${label}}\n${endpoints}\n`);
  assert.deepEqual(notices, []);
});

test('fields: the objects of a real cluster have none that is unknown', () => {
  for (const state of ['a', 'b']) {
    const url = new URL(`../../fixtures/istiod-recorded/${state}-objects.yaml`, import.meta.url);
    const { notices } = parseManifest(`${state}.yaml`, readFileSync(url, 'utf8'));
    assert.deepEqual(
      notices.filter(({ code }) => code === 'FIELD_UNKNOWN'),
      [],
    );
  }
});

test('fields: every rule says what it does, unless the fields below it do', () => {
  const mute = (fields: Fields, path: string): string[] =>
    Object.entries(fields).flatMap(([name, rule]) => {
      const own = `${path}.${name}`;
      if (rule.is === 'told') return rule.how === '' ? [own] : [];
      return rule.of === undefined ? [] : mute(rule.of, own);
    });
  for (const [kind, { fields }] of Object.entries(FIELDS)) assert.deepEqual(mute(fields, kind), []);
});
