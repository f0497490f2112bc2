// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeObject, objectName } from '#src/discovery/decode.ts';
import { encodeObject } from '#src/discovery/encode.ts';
import {
  ADDRESS_TYPE,
  AUTHORIZATION_TYPE,
  type MeshObject,
  RESOURCE_TYPES,
  type ResourceType,
} from '#src/discovery/resource.ts';
import * as security from '#src/wire/istio/authorization.ts';
import * as wire from '#src/wire/istio/workload.ts';

interface Recorded {
  readonly bytes: string;
  readonly decoded: Record<string, unknown>;
}

const FIXTURES = join(import.meta.dirname, '../../fixtures/istiod-recorded');

function recorded(): { type: ResourceType; name: string; bytes: Buffer; decoded: Record<string, unknown> }[] {
  return ['a', 'b'].flatMap((state) => {
    const text = readFileSync(join(FIXTURES, `${state}-resources.json`), 'utf8');
    const byType = JSON.parse(text) as Record<ResourceType, Record<string, Recorded>>;
    return RESOURCE_TYPES.flatMap((type) =>
      Object.entries(byType[type]).map(([name, { bytes, decoded }]) => ({
        type,
        name,
        bytes: Buffer.from(bytes, 'base64'),
        decoded,
      })),
    );
  });
}

function understood(type: ResourceType, name: string, bytes: Uint8Array): MeshObject {
  const object = decodeObject(type, name, bytes, 0);
  if (object.kind === 'rejected') assert.fail(`${name}: ${object.reason}`);
  return object;
}

test('decodeObject then encodeObject: gives back everything that a stock istiod sent', () => {
  const resources = recorded();
  assert.ok(resources.length > 60, 'the recording is there');
  for (const { type, name, bytes } of resources) {
    const encoded = encodeObject(understood(type, name, bytes));
    assert.equal(encoded.name, name);
    assert.equal(encoded.type, type);
    assert.equal(Buffer.from(encoded.bytes).toString('hex'), canonical(type, bytes).toString('hex'), name);
  }
});

// The order of fields is free on the wire (Go puts a oneof last), so it is ours here. The model has the documented
// default of an account that istiod left out (workloads of EndpointSlices and ServiceEntries), and it is written then;
// on pods istiod writes it too.
function canonical(type: ResourceType, bytes: Buffer): Buffer {
  if (type !== ADDRESS_TYPE)
    return Buffer.from(security.Authorization.encode(security.Authorization.decode(bytes)).finish());
  const message = wire.Address.decode(bytes);
  if (message.type?.$case === 'workload') message.type.value.serviceAccount ||= 'default';
  return Buffer.from(wire.Address.encode(message).finish());
}

test('decodeObject: reads the fields that the recording shows decoded', () => {
  for (const { type, name, bytes, decoded } of recorded()) {
    const object = understood(type, name, bytes);
    if (object.kind === 'authorization') {
      assert.equal(object.authorization.action, decoded['action'] ?? 'ALLOW', name);
      assert.equal(object.authorization.scope, decoded['scope'] ?? 'GLOBAL', name);
      assert.equal(object.authorization.rules.length, ((decoded['rules'] as unknown[]) ?? []).length, name);
      continue;
    }
    const content = decoded[object.kind] as Record<string, unknown>;
    if (object.kind === 'workload') {
      assert.equal(object.workload.tunnelProtocol, content['tunnel_protocol'] ?? 'NONE', name);
      assert.equal(object.workload.serviceAccount, content['service_account'] ?? 'default', name);
      assert.equal(object.workload.trustDomain, content['trust_domain'] ?? 'cluster.local', name);
      assert.equal(object.workload.status, content['status'] ?? 'HEALTHY', name);
      assert.deepEqual(
        [...object.workload.services.keys()].sort(),
        Object.keys(content['services'] ?? {}).sort(),
        name,
      );
      assert.deepEqual(object.workload.authorizationPolicies, content['authorization_policies'] ?? [], name);
    } else {
      assert.equal(object.service.hostname, content['hostname'], name);
      assert.equal(object.service.ipFamilies, content['ip_families'] ?? 'AUTOMATIC', name);
      assert.equal(object.service.ports.length, ((content['ports'] as unknown[]) ?? []).length, name);
      assert.equal(object.service.waypoint !== undefined, content['waypoint'] !== undefined, name);
    }
  }
});

const POLICY = { name: 'p', namespace: 'n' };

function policyWith(match: security.DeepPartial<security.Match>): Uint8Array {
  const rules = [{ clauses: [{ matches: [security.Match.fromPartial(match)] }] }];
  return security.Authorization.encode(security.Authorization.fromPartial({ ...POLICY, rules })).finish();
}

function workloadWith(fields: wire.DeepPartial<wire.Workload>): Uint8Array {
  const value = wire.Workload.fromPartial({ uid: 'n/p', ...fields });
  return wire.Address.encode(wire.Address.fromPartial({ type: { $case: 'workload', value } })).finish();
}

function serviceWith(fields: wire.DeepPartial<wire.Service>): Uint8Array {
  const value = wire.Service.fromPartial({ namespace: 'n', hostname: 'p', ...fields });
  return wire.Address.encode(wire.Address.fromPartial({ type: { $case: 'service', value } })).finish();
}

/** A policy with a match that has field 15, a varint: a condition of some later version. */
function policyOfLaterVersion(): Uint8Array {
  const match = { ...security.Match.fromPartial({}), _unknownFields: { 120: [Uint8Array.of(1)] } };
  const policy = { ...security.Authorization.fromPartial(POLICY), rules: [{ clauses: [{ matches: [match] }] }] };
  return security.Authorization.encode(policy).finish();
}

test('decodeObject: fails closed: rejects a resource whole for one part that cannot be understood', () => {
  const badEnum = 99 as 0;
  const four = Buffer.from([10, 0, 0, 0]);
  const table: [string, ResourceType, Uint8Array, RegExp][] = [
    [
      'unset string match',
      AUTHORIZATION_TYPE,
      policyWith({ principals: [{}] }),
      /matches\[0\]\.principals\[0\]: no way of matching/,
    ],
    [
      'short address',
      AUTHORIZATION_TYPE,
      policyWith({ sourceIps: [{ address: Buffer.from([1, 2, 3]), length: 8 }] }),
      /4 or 16 bytes, not 3/,
    ],
    [
      'prefix of IPv4',
      AUTHORIZATION_TYPE,
      policyWith({ notSourceIps: [{ address: four, length: 33 }] }),
      /prefix length 33/,
    ],
    [
      'prefix of IPv6',
      AUTHORIZATION_TYPE,
      policyWith({ destinationIps: [{ address: Buffer.alloc(16), length: 129 }] }),
      /prefix length 129/,
    ],
    [
      'port',
      AUTHORIZATION_TYPE,
      policyWith({ destinationPorts: [65536] }),
      /destination_ports\[0\]: 65536 is not a port/,
    ],
    [
      'empty account',
      AUTHORIZATION_TYPE,
      policyWith({ serviceAccounts: [{ namespace: 'n' }] }),
      /serviceAccount: is empty/,
    ],
    ['extension', AUTHORIZATION_TYPE, policyWith({ extensions: [{ name: 'x' }] }), /extensions are not known/],
    ['unknown condition', AUTHORIZATION_TYPE, policyOfLaterVersion(), /field 15 is not known/],
    [
      'unknown action',
      AUTHORIZATION_TYPE,
      security.Authorization.encode(security.Authorization.fromPartial({ ...POLICY, action: badEnum })).finish(),
      /action: unknown value 99/,
    ],
    [
      'legacy tunnel',
      ADDRESS_TYPE,
      workloadWith({ tunnelProtocol: wire.TunnelProtocol.LEGACY_ISTIO_MTLS }),
      /LEGACY_ISTIO_MTLS/,
    ],
    ['unknown tunnel', ADDRESS_TYPE, workloadWith({ tunnelProtocol: badEnum }), /tunnel_protocol: unknown value 99/],
    [
      'workload address',
      ADDRESS_TYPE,
      workloadWith({ addresses: [Buffer.alloc(5)] }),
      /addresses\[0\]: an address has 4 or 16 bytes/,
    ],
    [
      'gateway without destination',
      ADDRESS_TYPE,
      workloadWith({ waypoint: { hboneMtlsPort: 15008 } }),
      /waypoint: no destination/,
    ],
    ['service port', ADDRESS_TYPE, serviceWith({ ports: [{ servicePort: 70000 }] }), /ports\[0\]\.service_port/],
    ['weighted waypoints', ADDRESS_TYPE, serviceWith({ weightedWaypoints: [{ weight: 1 }] }), /weighted_waypoints/],
    ['no type', ADDRESS_TYPE, new Uint8Array(), /neither a workload nor a service/],
    ['another name', ADDRESS_TYPE, workloadWith({ uid: 'q' }), /content is "q"/],
    ['cut short', ADDRESS_TYPE, Uint8Array.of(10, 200), /not a valid message/],
  ];
  for (const [what, type, bytes, reason] of table) {
    const name = 'n/p';
    const result = decodeObject(type, name, bytes, 7);
    assert.equal(result.kind, 'rejected', what);
    if (result.kind !== 'rejected') continue;
    assert.deepEqual([result.type, result.name, result.index], [type, name, 7], what);
    assert.match(result.reason, reason, what);
  }
});

test('decodeObject: of what is rejected it is told whom it is about, as far as that can be read', () => {
  const badEnum = 99 as 0;
  const four = Buffer.from([10, 0, 0, 1]);
  const five = Buffer.alloc(5);
  const sixteen = Buffer.concat([Buffer.from('fd000000000000000000000000000001', 'hex')]);
  const mapped = Buffer.from('00000000000000000000ffff0a000200', 'hex');
  const policyBytes = (fields: security.DeepPartial<security.Authorization>) =>
    security.Authorization.encode(
      security.Authorization.fromPartial({ ...POLICY, extensions: [{ name: 'x' }], ...fields }),
    ).finish();
  const at = (address: string, prefixLength?: number, network = '') => ({
    network,
    address,
    ...(prefixLength !== undefined && { prefixLength }),
  });
  const table: [string, ResourceType, Uint8Array, object][] = [
    [
      'a Service',
      ADDRESS_TYPE,
      serviceWith({
        weightedWaypoints: [{ weight: 1 }],
        addresses: [
          { network: 'net', address: four },
          { address: five },
          { address: sixteen, length: 64 },
          { address: four, length: 77 },
          { address: mapped, length: 120 },
        ],
      }),
      {
        kind: 'service',
        addresses: [at('10.0.0.1', undefined, 'net'), at('fd00::1', 64), at('10.0.0.1'), at('10.0.2.0', 24)],
      },
    ],
    [
      'a workload',
      ADDRESS_TYPE,
      workloadWith({ tunnelProtocol: badEnum, network: 'net', addresses: [five, four] }),
      { kind: 'workload', addresses: [at('10.0.0.1', undefined, 'net')] },
    ],
    [
      'a workload on the network of its host',
      ADDRESS_TYPE,
      workloadWith({ tunnelProtocol: badEnum, networkMode: wire.NetworkMode.HOST_NETWORK, addresses: [four] }),
      { kind: 'workload', addresses: [] },
    ],
    ['garbage', ADDRESS_TYPE, Uint8Array.of(10, 200), { kind: 'workload', addresses: [] }],
    ['garbage of a policy', AUTHORIZATION_TYPE, Uint8Array.of(10, 200), { kind: 'policy', addresses: [], scope: 'n' }],
    [
      'a mesh-wide policy',
      AUTHORIZATION_TYPE,
      policyBytes({ scope: security.Scope.GLOBAL }),
      { kind: 'policy', addresses: [], scope: '' },
    ],
    [
      'a policy of a namespace',
      AUTHORIZATION_TYPE,
      policyBytes({ scope: security.Scope.NAMESPACE, namespace: 'shop' }),
      { kind: 'policy', addresses: [], scope: 'shop' },
    ],
    [
      'a policy of a scope that is not known',
      AUTHORIZATION_TYPE,
      policyBytes({ scope: badEnum, namespace: '' }),
      { kind: 'policy', addresses: [], scope: 'n' },
    ],
    [
      'a policy that workloads name',
      AUTHORIZATION_TYPE,
      policyBytes({ scope: security.Scope.WORKLOAD_SELECTOR }),
      { kind: 'policy', addresses: [] },
    ],
    [
      'a policy on trial',
      AUTHORIZATION_TYPE,
      policyBytes({ scope: security.Scope.GLOBAL, dryRun: true }),
      { kind: 'policy', addresses: [] },
    ],
  ];
  for (const [what, type, bytes, remains] of table) {
    const result = decodeObject(type, 'n/p', bytes, 0);
    assert.ok(result.kind === 'rejected', what);
    assert.deepEqual(result.remains, remains, what);
  }
});

test('decodeObject: a field of a later version in a workload is skipped, as the format promises', () => {
  const value = { ...wire.Workload.fromPartial({ uid: 'n/p' }), _unknownFields: { 800: [Uint8Array.of(1)] } };
  const bytes = wire.Address.encode({ type: { $case: 'workload', value } }).finish();
  const result = decodeObject(ADDRESS_TYPE, 'n/p', bytes, 0);
  assert.equal(result.kind, 'workload');
});

test('decodeObject: no bytes make it throw', () => {
  const seeds = recorded().map(({ bytes }) => bytes);
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat())
    .map(([bytes, changes, cut]) => {
      const copy = Buffer.from(bytes.subarray(0, bytes.length - (cut % 3)));
      for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
      return copy;
    });
  const anything = fc.oneof(mutated, fc.uint8Array({ maxLength: 200 }));
  fc.assert(
    fc.property(fc.constantFrom(...RESOURCE_TYPES), anything, (type, bytes) => {
      const result = decodeObject(type, 'n/p', bytes, 0);
      if (result.kind === 'rejected') assert.notEqual(result.reason, '');
      else assert.equal(objectName(result), 'n/p');
    }),
    { numRuns: 2000 },
  );
});

test('encodeObject: the version is that of the content, whatever the order of services', () => {
  const object = understood(
    ADDRESS_TYPE,
    'n/p',
    workloadWith({ services: { 'b/b': { ports: [] }, 'a/a': { ports: [] } } }),
  );
  assert.equal(object.kind, 'workload');
  if (object.kind !== 'workload') return;
  const services = new Map([...object.workload.services].toReversed());
  const turned = encodeObject({ kind: 'workload', workload: { ...object.workload, services } });
  assert.equal(turned.version, encodeObject(object).version);
});
