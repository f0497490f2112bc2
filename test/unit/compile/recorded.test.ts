// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { compileMesh } from '#src/compile/compile.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { decodeObject } from '#src/discovery/decode.ts';
import { encodeObject } from '#src/discovery/encode.ts';
import { isResourceType, type MeshObject } from '#src/discovery/resource.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { ObjectStore } from '#src/objects/object-store.ts';
import { formatProblem } from '#src/objects/problem.ts';
import { authorizationToJson, type ProtoJson, serviceToJson, workloadToJson } from './proto-json.ts';

interface Recorded {
  readonly bytes: string;
  readonly decoded: ProtoJson;
}

const NO_LABELS =
  'istiod lets every selector policy of the namespace apply to an endpoint without labels; a selector selects nothing there';
const TCP_ONLY = 'istiod keeps UDP ports among those of TCP, and gives their numbers to whichever is first';
const WIDENED = 'a DENY that needs L7 denies more here; with istiod it never denies (docs/adr/0011)';

/** Every difference from what istiod sends: resource, field, why. One that is not here fails, and so does one that is gone. */
const DIFFERENCES: Readonly<Record<string, readonly (readonly [resource: string, field: string, reason: string])[]>> = {
  a: [
    ['Kubernetes/networking.istio.io/ServiceEntry/shop/dns/dns.outside.example', 'authorization_policies', NO_LABELS],
    ['Kubernetes/networking.istio.io/ServiceEntry/shop/outside/192.0.2.10', 'authorization_policies', NO_LABELS],
    ['Kubernetes/networking.istio.io/ServiceEntry/shop/outside/192.0.2.11', 'authorization_policies', NO_LABELS],
    [
      'Kubernetes//Pod/shop/cart-0',
      'services',
      'a slice that names a pod at its address, and no uid, means that pod; istiod drops the endpoint',
    ],
    ['shop/alias.shop.svc.cluster.local', '', 'istiod leaves an ExternalName to another DNS; here nodes answer for it'],
    ['shop/dry', '', 'istiod sends dry-run policies only behind a flag; here they are sent with dry_run set'],
    ['strict/l7-deny-at-l4', 'rules', WIDENED],
  ],
  b: [
    ['Kubernetes//Pod/b2/b', 'services', TCP_ONLY],
    ['b2/b.b2.svc.cluster.local', 'ports', TCP_ONLY],
    ['b1/dest-ip', 'rules', WIDENED],
    ['b2/hdr', 'rules', WIDENED],
    ['b3/remote', 'rules', WIDENED],
    ['b3/custom', '', 'istiod leaves CUSTOM out and so lets everything through; here what it would decide is denied'],
    [
      'b2/b.b2.svc.cluster.local',
      'waypoint',
      'a waypoint that does not admit the Service refuses instead of being left out',
    ],
  ],
};

for (const state of ['a', 'b'] as const) {
  const directory = new URL('../../fixtures/istiod-recorded/', import.meta.url);
  const golden = JSON.parse(readFileSync(new URL(`${state}-resources.json`, directory), 'utf8')) as Record<
    string,
    Record<string, Recorded>
  >;
  const store = new ObjectStore(['recorded']);
  store.replace('recorded', [
    parseManifest(`${state}-objects.yaml`, readFileSync(new URL(`${state}-objects.yaml`, directory), 'utf8')),
  ]);
  const mesh = compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
  const recorded = new Map(Object.values(golden).flatMap((resources) => Object.entries(resources)));

  test(`recorded state ${state}: every object is accepted`, () => {
    assert.deepEqual(store.problems().map(formatProblem), []);
  });

  test(`recorded state ${state}: what is sent is what istiod sends, but for the differences named`, () => {
    const ours = new Map<string, ProtoJson>();
    for (const [key, workload] of mesh.workloads) ours.set(key, workloadToJson(workload));
    for (const [key, service] of mesh.services) ours.set(key, serviceToJson(service));
    for (const [key, policy] of mesh.authorizations) ours.set(key, authorizationToJson(policy));
    const theirs = new Map([...recorded].map(([name, { decoded }]) => [name, withDefaults(unwrap(decoded))]));
    assert.deepEqual(
      differences(ours, theirs).sort(),
      (DIFFERENCES[state] ?? []).map(([name, field]) => `${name} ${field}`).sort(),
    );
  });

  test(`recorded state ${state}: the golden bytes decode to what was compiled`, () => {
    const named = new Set((DIFFERENCES[state] ?? []).map(([name]) => name));
    const compiled = new Map<string, MeshObject>();
    for (const [key, workload] of mesh.workloads) compiled.set(key, { kind: 'workload', workload });
    for (const [key, service] of mesh.services) compiled.set(key, { kind: 'service', service });
    for (const [key, authorization] of mesh.authorizations) compiled.set(key, { kind: 'authorization', authorization });
    let compared = 0;
    for (const [typeUrl, resources] of Object.entries(golden)) {
      for (const [name, { bytes }] of Object.entries(resources)) {
        if (named.has(name)) continue;
        const object = compiled.get(name);
        assert.ok(object, name);
        assert.ok(isResourceType(typeUrl), typeUrl);
        const theirs = decodeObject(typeUrl, name, Uint8Array.from(Buffer.from(bytes, 'base64')), 0);
        assert.notEqual(theirs.kind, 'rejected', JSON.stringify(theirs));
        assert.deepEqual(inIstiosWords(object), theirs, name);
        assert.deepEqual(decodeObject(typeUrl, name, encodeObject(object).bytes, 0), object, name);
        compared += 1;
      }
    }
    assert.equal(compared, recorded.size - [...named].filter((name) => recorded.has(name)).length);
  });
}

/** Without what our messages say beyond Istio's. */
function inIstiosWords(object: MeshObject): MeshObject {
  if (object.kind === 'service') {
    const { extension: _, ...service } = object.service;
    return { kind: 'service', service };
  }
  if (object.kind !== 'workload') return object;
  const { hostnames: _, ...workload } = object.workload;
  return { kind: 'workload', workload };
}

function unwrap(decoded: ProtoJson): ProtoJson {
  return (decoded['workload'] ?? decoded['service'] ?? decoded) as ProtoJson;
}

// The field list says that an absent service account of a workload means `default`.
function withDefaults(decoded: ProtoJson): ProtoJson {
  return 'uid' in decoded ? { service_account: 'default', ...decoded } : decoded;
}

/** `resource field` for each field that differs; `resource ` for a resource that only one side has. */
function differences(ours: ReadonlyMap<string, ProtoJson>, theirs: ReadonlyMap<string, ProtoJson>): string[] {
  return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((name) => {
    const our = ours.get(name);
    const their = theirs.get(name);
    if (our === undefined || their === undefined) return [`${name} `];
    const fields = new Set([...Object.keys(our), ...Object.keys(their)]);
    return [...fields]
      .filter((field) => !isDeepStrictEqual(our[field], their[field]))
      .map((field) => `${name} ${field}`);
  });
}
