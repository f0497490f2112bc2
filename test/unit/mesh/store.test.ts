// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import type { MeshDelta } from '#src/mesh/store.ts';
import { MeshStore } from '#src/mesh/store.ts';
import type { RejectedResource } from '#src/model/rejected-resource.ts';
import { aPolicy, aService, aStore, aWorkload, port, serving } from './mesh-fixtures.ts';

const web = aWorkload('web', '10.0.1.1', serving('web'));
const webKey = 'shop/web.shop.svc.cluster.local';
const range = { network: '', address: '10.97.0.0', prefixLength: 16 };

const changes: readonly {
  readonly claim: string;
  readonly before: MeshDelta;
  readonly delta: MeshDelta;
  readonly keys: readonly string[];
}[] = [
  {
    claim: 'a new workload',
    before: {},
    delta: { workloads: [web] },
    keys: ['address//10.0.1.1', `endpoints/${webKey}`, `workload/${web.uid}`],
  },
  {
    claim: 'an equal workload',
    before: { workloads: [web] },
    delta: { workloads: [{ ...web, services: new Map(web.services) }] },
    keys: [],
  },
  {
    claim: 'a removed workload',
    before: { workloads: [web] },
    delta: { removedAddresses: [web.uid] },
    keys: ['address//10.0.1.1', `endpoints/${webKey}`, `workload/${web.uid}`],
  },
  {
    claim: 'a policy named by a workload leaves its callers alone',
    before: { workloads: [web] },
    delta: { workloads: [{ ...web, authorizationPolicies: ['shop/p'] }] },
    keys: [`workload/${web.uid}`],
  },
  {
    claim: 'a sick workload',
    before: { workloads: [web] },
    delta: { workloads: [{ ...web, status: 'UNHEALTHY' }] },
    keys: [`endpoints/${webKey}`, `workload/${web.uid}`],
  },
  {
    claim: 'a moved workload',
    before: { workloads: [web] },
    delta: { workloads: [{ ...web, addresses: ['10.0.1.2'] }] },
    keys: ['address//10.0.1.1', 'address//10.0.1.2', `endpoints/${webKey}`, `workload/${web.uid}`],
  },
  {
    claim: 'a port of one Service leaves the other alone',
    before: {
      workloads: [
        {
          ...web,
          services: new Map([
            [webKey, []],
            ['shop/b', []],
          ]),
        },
      ],
    },
    delta: {
      workloads: [
        {
          ...web,
          services: new Map([
            [webKey, [port(80, 1)]],
            ['shop/b', []],
          ]),
        },
      ],
    },
    keys: [`endpoints/${webKey}`, `workload/${web.uid}`],
  },
  {
    claim: 'a new Service',
    before: {},
    delta: { services: [aService('web', '10.96.0.1')] },
    keys: ['address//10.96.0.1', 'hostname/web.shop.svc.cluster.local', `service/${webKey}`],
  },
  {
    claim: 'a Service that keeps its address',
    before: { services: [aService('web', '10.96.0.1')] },
    delta: { services: [aService('web', '10.96.0.1', { subjectAltNames: ['a'] })] },
    keys: [`service/${webKey}`],
  },
  {
    claim: 'a Service that becomes canonical',
    before: { services: [aService('web', '10.96.0.1')] },
    delta: { services: [aService('web', '10.96.0.1', { canonical: true })] },
    keys: ['address//10.96.0.1', `service/${webKey}`],
  },
  {
    claim: 'a range',
    before: { services: [aService('web', undefined)] },
    delta: { services: [aService('web', undefined, { addresses: [range] })] },
    keys: ['ranges/', `service/${webKey}`],
  },
  {
    claim: 'a namespace policy',
    before: {},
    delta: { policies: [aPolicy('p', {})] },
    keys: ['policies/shop', 'policy/shop/p'],
  },
  {
    claim: 'a global policy',
    before: {},
    delta: { policies: [aPolicy('p', {}, { scope: 'GLOBAL' })] },
    keys: ['policies/', 'policy/shop/p'],
  },
  {
    claim: 'a selector policy',
    before: {},
    delta: { policies: [aPolicy('p', {}, { scope: 'WORKLOAD_SELECTOR' })] },
    keys: ['policy/shop/p'],
  },
  {
    claim: 'a policy whose scope changes',
    before: { policies: [aPolicy('p', {})] },
    delta: { policies: [aPolicy('p', {}, { scope: 'GLOBAL' })] },
    keys: ['policies/', 'policies/shop', 'policy/shop/p'],
  },
  {
    claim: 'a removed policy',
    before: { policies: [aPolicy('p', {})] },
    delta: { removedPolicies: ['shop/p'] },
    keys: ['policies/shop', 'policy/shop/p'],
  },
  {
    claim: 'a removal of what is not there',
    before: {},
    delta: { removedAddresses: ['x'], removedPolicies: ['y'] },
    keys: [],
  },
];
for (const { claim, before, delta, keys } of changes) {
  test(`MeshStore: ${claim} changes exactly [${keys.length}] keys`, () => {
    assert.deepEqual([...aStore(before).apply(delta).keys].sort(), [...keys].sort());
  });
}

test('MeshStore: everything added and removed again leaves no index behind', () => {
  const store = aStore({
    workloads: [web],
    services: [aService('web', '10.96.0.1', { addresses: [range, { network: '', address: '10.96.0.1' }] })],
    policies: [aPolicy('p', {})],
  });
  store.apply({ removedAddresses: [web.uid, webKey], removedPolicies: ['shop/p'] });
  assert.equal(store.findWorkloadByAddress('', '10.0.1.1'), undefined);
  assert.deepEqual(store.servicesByAddress('', '10.96.0.1'), []);
  assert.deepEqual(store.servicesByRange('', '10.97.0.1'), []);
  assert.deepEqual(store.servicesByHostname('web.shop.svc.cluster.local'), []);
  assert.deepEqual(store.policiesOfNamespace('shop'), []);
  assert.equal(store.endpointsOf(webKey).size, 0);
});

test('MeshStore: endpoints may come before their Service', () => {
  const store = aStore({ workloads: [web] });
  assert.equal(store.endpointsOf(webKey).size, 1);
  assert.equal(store.findService(webKey), undefined);
});

test('MeshStore: of workloads at one address a Pod comes first, then HBONE, and the rest remain', () => {
  const plain = aWorkload('plain', '10.0.1.1', { tunnelProtocol: 'NONE' });
  const entry = aWorkload('entry', '10.0.1.1', { uid: 'Kubernetes/networking.istio.io/WorkloadEntry/shop/entry' });
  const store = aStore({ workloads: [entry, plain, web] });
  const first = () => store.findWorkloadByAddress('', '10.0.1.1')?.name;
  assert.equal(first(), 'web');
  assert.ok(store.apply({ removedAddresses: [web.uid] }).keys.has('address//10.0.1.1'));
  assert.equal(first(), 'plain');
  store.apply({ removedAddresses: [plain.uid] });
  assert.equal(first(), 'entry');
});

test('MeshStore: longest ranges come first', () => {
  const wide = aService('wide', undefined, { addresses: [{ network: '', address: '10.0.0.0', prefixLength: 8 }] });
  const store = aStore({ services: [wide, aService('web', undefined, { addresses: [range] })] });
  assert.deepEqual(
    store.servicesByRange('', '10.97.1.1').map(({ prefixLength }) => prefixLength),
    [16, 8],
  );
});

const bad: readonly (readonly [string, MeshDelta, RegExp])[] = [
  ['a workload address that is none', { workloads: [{ ...web, addresses: ['10.0.0'] }] }, /10\.0\.0/],
  ['a workload address in another spelling', { workloads: [{ ...web, addresses: ['FD00::1'] }] }, /canonical/],
  ['a port beyond 65535', { workloads: [{ ...web, ...serving('web', [port(80, 70_000)]) }] }, /70000/],
  [
    'a Service range that is too long',
    { services: [aService('web', undefined, { addresses: [{ network: '', address: '10.0.0.0', prefixLength: 33 }] })] },
    /33/,
  ],
  [
    'a policy port beyond 65535',
    { policies: [aPolicy('p', { destinationPorts: [80, 65_616] })] },
    /rules\[0\]\.clauses\[0\]\.matches\[0\]\.destinationPorts: 65616/,
  ],
  [
    'a policy range that is none',
    { policies: [aPolicy('p', { notSourceIps: [{ address: 'x', prefixLength: 0 }] })] },
    /notSourceIps/,
  ],
];
for (const [claim, delta, reason] of bad) {
  test(`MeshStore: fails closed: ${claim} is rejected whole and the last good one stays`, () => {
    const good = {
      workloads: [web],
      services: [aService('web', '10.96.0.1')],
      policies: [aPolicy('p', { destinationPorts: [80] })],
    };
    const store = aStore(good);
    const { keys, rejected } = store.apply(delta);
    // Addresses that it would have, and that nobody has, are refused from here on.
    assert.ok([...keys].every((key) => /^address\/|^policies\/shop$/.test(key)));
    assert.match(rejected[0]?.reason ?? '', reason);
    assert.equal(
      Object.values(store.rejectedTotals).reduce((sum, count) => sum + count, 0),
      1,
    );
    assert.equal(store.findWorkload(web.uid), good.workloads[0]);
    assert.equal(store.findService(webKey), good.services[0]);
    assert.equal(store.findPolicy('shop/p'), good.policies[0]);
  });
}

test('MeshStore: beyond its bound new resources are rejected and known ones still change', () => {
  const store = new MeshStore(1);
  store.apply({ workloads: [web] });
  assert.equal(store.apply({ policies: [aPolicy('p', {})] }).rejected.length, 1);
  assert.equal(store.apply({ workloads: [{ ...web, capacity: 2 }] }).rejected.length, 0);
});

const rejectedService = (fields: Partial<RejectedResource> = {}): RejectedResource => ({
  kind: 'service',
  name: webKey,
  reason: 'too new',
  addresses: [{ network: '', address: '10.96.0.1' }, range],
  ...fields,
});
const rejectedPolicy: RejectedResource = {
  kind: 'policy',
  name: 'shop/p',
  reason: 'too new',
  addresses: [],
  scope: 'shop',
};

test('MeshStore: the addresses of what was rejected are known until it is taken or gone', () => {
  const store = new MeshStore();
  const first = store.apply({ rejected: [rejectedService()] });
  assert.deepEqual([...first.keys].sort(), ['address//10.96.0.1', 'ranges/']);
  assert.deepEqual(first.rejected, [], 'the sender knows that already');
  assert.equal(store.rejectedTotals.service, 1);
  for (const address of ['10.96.0.1', '10.97.1.2']) assert.equal(store.isRejectedAddress('', address), true, address);
  for (const address of ['10.96.0.2', '10.98.0.0', 'fd00::1'])
    assert.equal(store.isRejectedAddress('', address), false, address);
  assert.equal(store.isRejectedAddress('other', '10.96.0.1'), false);
  store.apply({ rejected: [rejectedService({ addresses: [{ network: '', address: '10.96.0.9' }] })] });
  assert.equal(store.isRejectedAddress('', '10.97.1.2'), false);
  assert.equal(store.isRejectedAddress('', '10.96.0.9'), true);
  assert.deepEqual([...store.apply({ removedAddresses: [webKey] }).keys], ['address//10.96.0.9']);
  assert.equal(store.isRejectedAddress('', '10.96.0.9'), false);
  store.apply({ rejected: [rejectedService()] });
  store.apply({ services: [aService('web', '10.96.0.2')] });
  assert.equal(store.isRejectedAddress('', '10.96.0.1'), false);
  assert.equal(store.rejected.size, 0);
});

test('MeshStore: an address that two rejected resources have is known until both are gone', () => {
  const store = new MeshStore();
  store.apply({ rejected: [rejectedService(), rejectedService({ name: 'shop/other' })] });
  store.apply({ removedAddresses: [webKey] });
  assert.equal(store.isRejectedAddress('', '10.96.0.1'), true);
  assert.equal(store.isRejectedAddress('', '10.97.0.1'), true);
  store.apply({ removedAddresses: ['shop/other'] });
  assert.equal(store.isRejectedAddress('', '10.96.0.1'), false);
});

test('MeshStore: a rejected policy is known where it holds, unless an earlier form is in force', () => {
  const store = new MeshStore();
  assert.deepEqual([...store.apply({ rejected: [rejectedPolicy] }).keys], ['policies/shop']);
  assert.deepEqual(store.rejectedPoliciesOfNamespace('shop'), ['shop/p']);
  assert.deepEqual(store.rejectedPoliciesOfNamespace(''), []);
  store.apply({ policies: [aPolicy('p', { destinationPorts: [80] })] });
  assert.deepEqual(store.rejectedPoliciesOfNamespace('shop'), []);
  store.apply({ rejected: [rejectedPolicy] });
  assert.deepEqual(store.rejectedPoliciesOfNamespace('shop'), [], 'the last good one stands');
  assert.equal(store.rejected.size, 1);
  assert.deepEqual([...store.apply({ removedPolicies: ['shop/p'] }).keys].sort(), ['policies/shop', 'policy/shop/p']);
  assert.deepEqual(store.rejectedPoliciesOfNamespace('shop'), []);
});

test('MeshStore: fails closed: what is beyond its bound is refused, and beyond that bound everything', () => {
  const store = new MeshStore(2);
  store.apply({ workloads: [web, aWorkload('b', '10.0.1.2')] });
  const { keys } = store.apply({ workloads: [aWorkload('c', '10.0.1.3')], services: [aService('d', '10.96.0.4')] });
  assert.deepEqual([...keys].sort(), ['address//10.0.1.3', 'address//10.96.0.4']);
  assert.equal(store.isRejectedAddress('', '10.0.1.3'), true);
  assert.equal(store.isRejectedAddress('', '198.51.100.1'), false);
  assert.ok(store.apply({ services: [aService('e', '10.96.0.5')] }).keys.has('ranges/'));
  assert.equal(store.rejected.lostTotal, 1);
  assert.equal(store.isRejectedAddress('', '198.51.100.1'), true);
  assert.equal(store.rejectedPoliciesOfNamespace('').length, 1);
});

test('MeshStore: listeners hear of changes until they stop', () => {
  const store = new MeshStore();
  let heard = 0;
  const stop = store.watch(() => heard++);
  store.apply({ workloads: [web] });
  store.apply({ workloads: [web] });
  stop();
  store.apply({ removedAddresses: [web.uid] });
  assert.equal(heard, 1);
});
