// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { parseManifest } from '#src/manifests/parse-manifest.ts';

/** The notices of one object with these labels and annotations, as people read them. */
function notes(kind: string, labels: Record<string, string>, annotations: Record<string, string> = {}): string[] {
  const lines = (pairs: Record<string, string>): string =>
    Object.entries(pairs)
      .map(([key, value]) => `    ${key}: "${value}"\n`)
      .join('');
  const text =
    `apiVersion: v1\nkind: ${kind}\nmetadata:\n  name: shop\n` +
    `  labels:\n    app: web\n${lines(labels)}  annotations:\n    note: "x"\n${lines(annotations)}spec: {}\n`;
  const { notices, problems } = parseManifest('ns.yaml', text);
  assert.deepEqual(problems, []);
  return notices.map(({ code, object, message }) => `${code} ${object}: ${message}`);
}

test('mesh keys: istio-injection=enabled is told on the namespace itself, with its line, whether or not it has pods', () => {
  assert.deepEqual(notes('Namespace', { 'istio-injection': 'enabled' }), [
    'ALIAS Namespace shop: istio-injection=enabled is taken as istio.io/dataplane-mode=ambient; nothing is injected (ns.yaml:7)',
  ]);
  assert.deepEqual(notes('Namespace', { 'istio-injection': 'enabled', 'istio.io/dataplane-mode': 'none' }), [
    'NO_EFFECT Namespace shop: istio-injection=enabled has no effect beside istio.io/dataplane-mode=none; nothing is injected (ns.yaml:7)',
  ]);
  assert.deepEqual(notes('Namespace', { 'istio-injection': 'disabled' }), []);
});

test('mesh keys: a value that is none of the known ones is told, with these', () => {
  const told = 'istio.io/dataplane-mode=ambeint has no effect; known: ambient, none (ns.yaml:7)';
  assert.deepEqual(notes('Namespace', { 'istio.io/dataplane-mode': 'ambeint' }), [
    `VALUE_UNKNOWN Namespace shop: ${told}`,
  ]);
  assert.deepEqual(notes('Pod', { 'istio.io/dataplane-mode': 'ambeint' }), [`VALUE_UNKNOWN Pod default/shop: ${told}`]);
  for (const mode of ['ambient', 'none']) assert.deepEqual(notes('Pod', { 'istio.io/dataplane-mode': mode }), []);
  assert.deepEqual(notes('Namespace', {}, { 'groundwire.io/same-node-mode': 'direct' }), [
    'VALUE_UNKNOWN Namespace shop: groundwire.io/same-node-mode=direct has no effect; known: handoff, tunnel (ns.yaml:9)',
  ]);
  assert.match(notes('Pod', {}, { 'ambient.istio.io/bypass-inbound-capture': 'true' })[0] ?? '', /not supported/);
});

test('mesh keys: a key that is nearly a known one is told, and which was meant', () => {
  for (const key of [
    'istio.io/data-plane-mode',
    'istio.io/dataplane_mode',
    'istio.io/dataplanemode',
    'istio.io/DataplaneMode',
    'isto.io/dataplane-mode',
    'ambient.istio.io/dataplane-mode',
    'groundwire.io/dataplane-mode',
  ]) {
    assert.deepEqual(notes('Namespace', { [key]: 'ambient' }), [
      `KEY_UNKNOWN Namespace shop: ${key} means nothing here; did you mean istio.io/dataplane-mode (ambient, none)? (ns.yaml:7)`,
    ]);
  }
  assert.match(notes('Pod', { 'groundwire.io/existing-connection': 'keep' })[0] ?? '', /did you mean .*-connections/);
  assert.match(notes('Pod', {}, { 'istio.io/dataplane-mode': 'ambient' })[0] ?? '', /read from labels, not from annot/);
  assert.match(notes('Namespace', { 'istio-injecton': 'enabled' })[0] ?? '', /did you mean istio-injection/);
});

test('mesh keys: what belongs to others is left alone', () => {
  const others = {
    'istio.io/rev': 'default',
    'istio.io/use-waypoint-canary': 'w',
    'sidecar.istio.io/inject': 'true',
    'app.kubernetes.io/name': 'web',
    'pod-template-hash': 'x',
    'topology.istio.io/cluster': 'c',
    'gateway.istio.io/managed': 'istio.io-mesh-controller',
    'k8s.io/network': 'x',
    [`istio.io/${'x'.repeat(1000)}`]: 'y'.repeat(100_000),
  };
  assert.deepEqual(notes('Pod', others), []);
  const long = notes('Pod', { 'istio.io/dataplane-mode': 'y'.repeat(100_000) })[0] ?? '';
  assert.ok(long.length < 300, 'and nobody fills the log');
});
