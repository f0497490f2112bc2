// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { type CaptureDecision, decideCapture } from '#src/compile/enrolment.ts';
import type { NamespaceObject, PodObject } from '#src/objects/objects.ts';

type Pairs = Record<string, string>;

function pod(
  labels: Pairs = {},
  annotations: Pairs = {},
  more: Partial<PodObject> = {},
  namespace = 'shop',
): PodObject {
  return {
    kind: 'Pod',
    meta: meta('web', namespace, labels, annotations),
    nodeName: 'a',
    serviceAccount: 'web',
    hostNetwork: false,
    ports: [],
    addresses: ['10.0.0.1'],
    phase: 'Running',
    ready: true,
    hostname: '',
    subdomain: '',
    ...more,
  };
}

function namespace(labels: Pairs = {}, annotations: Pairs = {}): NamespaceObject {
  return { kind: 'Namespace', meta: meta('shop', '', labels, annotations) };
}

function meta(name: string, inNamespace: string, labels: Pairs, annotations: Pairs): PodObject['meta'] {
  const map = (pairs: Pairs): Map<string, string> => new Map(Object.entries(pairs));
  return {
    name,
    namespace: inNamespace,
    uid: '',
    labels: map(labels),
    annotations: map(annotations),
    createdMs: 0,
    deleting: false,
  };
}

const MODE = 'istio.io/dataplane-mode';
const AMBIENT = { [MODE]: 'ambient' };

test('decideCapture: namespace label x pod label, as istio-cni decides', () => {
  const table: [string | undefined, string | undefined, boolean][] = [
    [undefined, undefined, false],
    [undefined, 'ambient', true],
    [undefined, 'none', false],
    ['ambient', undefined, true],
    ['ambient', 'ambient', true],
    ['ambient', 'none', false],
    ['ambient', 'sidecar', true],
    ['none', undefined, false],
    ['none', 'ambient', true],
    ['sidecar', undefined, false],
  ];
  for (const [ofNamespace, ofPod, captured] of table) {
    const decision = decideCapture(
      pod(ofPod ? { [MODE]: ofPod } : {}),
      namespace(ofNamespace ? { [MODE]: ofNamespace } : {}),
    );
    assert.equal(decision.captured, captured, `${ofNamespace}/${ofPod}: ${decision.reason}`);
  }
});

test('decideCapture: what can never be captured is not, whatever the labels say', () => {
  const table: [PodObject, RegExp][] = [
    [pod(AMBIENT, {}, { hostNetwork: true }), /hostNetwork/],
    [pod(AMBIENT, { 'sidecar.istio.io/status': '{}' }), /sidecar/],
    [pod(AMBIENT, {}, {}, 'kube-system'), /excluded/],
    [pod(AMBIENT, {}, { phase: 'Succeeded' }), /ended/],
    [pod(AMBIENT, {}, { phase: 'Failed' }), /ended/],
  ];
  for (const [object, reason] of table) {
    const decision = decideCapture(object, namespace(AMBIENT));
    assert.equal(decision.captured, false);
    assert.match(decision.reason, reason);
  }
});

test('decideCapture: istio-injection=enabled is an alias, and dataplane-mode wins over it', () => {
  const alias = decideCapture(pod(), namespace({ 'istio-injection': 'enabled' }));
  assert.equal(alias.captured, true);
  for (const mode of ['none', 'sidecar']) {
    const decision = decideCapture(pod(), namespace({ 'istio-injection': 'enabled', [MODE]: mode }));
    assert.equal(decision.captured, false);
  }
  assert.equal(decideCapture(pod({ [MODE]: 'none' }), namespace({ 'istio-injection': 'enabled' })).captured, false);
  assert.equal(decideCapture(pod(), namespace({ 'istio-injection': 'disabled' })).captured, false);
  assert.equal(decideCapture(pod(), undefined).captured, false);
});

test('decideCapture: annotations choose the modes, the pod before its namespace, a bad value passed over', () => {
  const same = 'groundwire.io/same-node-mode';
  const existing = 'groundwire.io/existing-connections';
  const dns = 'ambient.istio.io/dns-capture';
  const modes = (decision: CaptureDecision): unknown[] => [
    decision.sameNodeMode,
    decision.existingConnections,
    decision.dnsCapture,
  ];
  assert.deepEqual(modes(decideCapture(pod(AMBIENT), namespace())), ['handoff', 'keep', true]);
  const set = namespace(AMBIENT, { [same]: 'tunnel', [existing]: 'close', [dns]: 'false' });
  assert.deepEqual(modes(decideCapture(pod(), set)), ['tunnel', 'close', false]);
  const own = pod({}, { [same]: 'handoff', [existing]: 'keep', [dns]: 'true' });
  assert.deepEqual(modes(decideCapture(own, set)), ['handoff', 'keep', true]);
  assert.deepEqual(modes(decideCapture(pod({}, { [same]: 'direct' }), set)), ['tunnel', 'close', false]);
  const bypass = decideCapture(pod({}, { 'ambient.istio.io/bypass-inbound-capture': 'true' }), namespace(AMBIENT));
  assert.equal(bypass.captured, true);
});
