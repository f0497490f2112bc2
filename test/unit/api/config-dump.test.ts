// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { dumpConfig, type Json } from '#src/api/config-dump.ts';
import { decodeObject } from '#src/discovery/decode.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from '#src/discovery/resource.ts';
import { MeshStore } from '#src/mesh/store.ts';

// What a stock istiod sent, and what a stock ztunnel that got it showed.
const FIXTURES = new URL('../../fixtures/istiod-recorded/', import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, FIXTURES), 'utf8'));

type JsonObject = { readonly [key: string]: Json };
type Recorded = Readonly<Record<string, Readonly<Record<string, { readonly bytes: string }>>>>;

function loadMesh(): MeshStore {
  const recorded = read('b-resources.json') as Recorded;
  const mesh = new MeshStore();
  for (const type of [ADDRESS_TYPE, AUTHORIZATION_TYPE] as const) {
    for (const [name, { bytes }] of Object.entries(recorded[type] ?? {})) {
      const object = decodeObject(type, name, Buffer.from(bytes, 'base64'), 0);
      assert.notEqual(object.kind, 'rejected', name);
      mesh.apply({
        workloads: object.kind === 'workload' ? [object.workload] : [],
        services: object.kind === 'service' ? [object.service] : [],
        policies: object.kind === 'authorization' ? [object.authorization] : [],
      });
    }
  }
  return mesh;
}

const mesh = loadMesh();
const dump = dumpConfig({
  mesh,
  certificates: [
    {
      identity: 'spiffe://cluster.local/ns/b1/sa/front',
      state: 'Available',
      certChain: [
        {
          pem: 'cGVt',
          serialNumber: '1',
          validFrom: '2026-11-23T04:39:21.000Z',
          expirationTime: '2026-11-24T04:41:21.000Z',
        },
      ],
      rootCerts: [
        {
          pem: 'cGVt',
          serialNumber: '2',
          validFrom: '2026-11-23T04:31:27.000Z',
          expirationTime: '2036-11-20T04:31:27.000Z',
        },
      ],
    },
  ],
  pods: [],
  connections: [],
  version: { groundwire: '0.1.0', node: '24.0.0', openssl: '3.5.0' },
  config: {},
}) as JsonObject;
const ztunnel = read('b-ztunnel-config_dump.json') as JsonObject;

function byName(list: Json | undefined): ReadonlyMap<string, JsonObject> {
  const items = list as readonly JsonObject[];
  return new Map(items.map((item) => [JSON.stringify([item['namespace'], item['name']]), item]));
}

/** Order of lists that are sets, and nothing else, is made the same. */
function normalize(value: Json): Json {
  if (Array.isArray(value))
    return value.map(normalize).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, normalize(one)]));
}

for (const kind of ['workloads', 'services', 'policies'] as const) {
  test(`config_dump: ${kind} are those of a stock ztunnel with the same configuration, field by field`, () => {
    const ours = byName(dump[kind]);
    const theirs = byName(ztunnel[kind]);
    assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
    for (const [name, item] of theirs) assert.deepEqual(normalize(ours.get(name) ?? {}), normalize(item), name);
  });
}

test('config_dump: rules keep their order, which is part of their meaning to a reader', () => {
  const ours = byName(dump['policies']).get(JSON.stringify(['b1', 'two-rules']));
  assert.deepEqual(ours?.['rules'], byName(ztunnel['policies']).get(JSON.stringify(['b1', 'two-rules']))?.['rules']);
});

test('config_dump: certificates have the fields of a stock ztunnel, and no key', () => {
  const [ours] = dump['certificates'] as readonly JsonObject[];
  const [theirs] = ztunnel['certificates'] as readonly JsonObject[];
  assert.deepEqual(Object.keys(ours ?? {}).sort(), Object.keys(theirs ?? {}).sort());
  for (const list of ['certChain', 'rootCerts']) {
    const fields = (one: JsonObject | undefined) =>
      Object.keys((one?.[list] as readonly JsonObject[] | undefined)?.[0] ?? {}).sort();
    assert.deepEqual(fields(ours), fields(theirs));
  }
  assert.doesNotMatch(JSON.stringify(dump), /PRIVATE KEY|privateKey/);
});

test('config_dump: every part of a stock ztunnel is there', () => {
  for (const key of Object.keys(ztunnel)) assert.ok(key in dump, key);
});
