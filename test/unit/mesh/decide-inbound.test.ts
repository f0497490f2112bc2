// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { decideInbound } from '#src/mesh/decide-inbound.ts';
import { ConsultedFieldBit, type InboundQuestion } from '#src/model/messages.gen.ts';
import type { Authorization, PolicyMatch } from '#src/model/policy.ts';
import { aPolicy, aService, aStore, aWorkload, port } from './mesh-fixtures.ts';

const web = aWorkload('web', '10.0.0.2', {
  addresses: ['10.0.0.2', '10.0.0.3'],
  services: new Map([
    ['shop/web.shop.svc.cluster.local', []],
    ['shop/named.shop.svc.cluster.local', [port(443, 8443)]],
  ]),
});
const services = [aService('web', '10.96.0.1'), aService('named', '10.96.0.2')];

const anyMatch = fc.constantFrom<Partial<PolicyMatch>[]>(
  { destinationPorts: [8080] },
  { notDestinationPorts: [8443] },
  { principals: [{ kind: 'suffix', value: '/sa/a' }] },
  { notPrincipals: [{ kind: 'presence' }] },
  { sourceIps: [{ address: '10.1.0.0', prefixLength: 16 }] },
  { destinationIps: [{ address: '10.0.0.3', prefixLength: 32 }] },
  { destinationPorts: [8080], sourceIps: [{ address: '10.1.0.0', prefixLength: 16 }] },
);
const anyPolicies = fc
  .array(fc.tuple(anyMatch, fc.constantFrom<Authorization['action'][]>('ALLOW', 'DENY')), { maxLength: 3 })
  .map((list) => list.map(([match, action], index) => aPolicy(`p${index}`, match, { action })));
const anyQuestion: fc.Arbitrary<InboundQuestion> = fc.record({
  kind: fc.constant('InboundQuestion' as const),
  question: fc.constant(1n),
  pod: fc.constant(1),
  security: fc.constantFrom<InboundQuestion['security'][]>('mutual_tls', 'none'),
  identity: fc.constantFrom('spiffe://cluster.local/ns/shop/sa/a', 'spiffe://cluster.local/ns/shop/sa/b', 'x'),
  source: fc.record({ address: fc.constantFrom('10.1.0.1', '10.2.0.1'), port: fc.nat(65_535) }),
  destination: fc.record({
    address: fc.constantFrom('10.0.0.2', '10.0.0.3'),
    port: fc.constantFrom(80, 443, 8080, 8443, 15_006),
  }),
  authority: fc.constantFrom('', '', 'web.shop.svc.cluster.local:80', 'named.shop.svc.cluster.local:443', 'bad:1'),
  service: fc.constantFrom('', 'web.shop.svc.cluster.local', 'named.shop.svc.cluster.local', 'other.example'),
});

// What the engine keeps an answer by: the pod, how the connection came, and the consulted fields.
function cacheKey(question: InboundQuestion, consulted: number): string {
  return JSON.stringify([
    question.security,
    consulted & ConsultedFieldBit.identity ? question.identity : '',
    consulted & ConsultedFieldBit.sourceAddress ? question.source.address : '',
    consulted & ConsultedFieldBit.destinationPort ? question.destination.port : '',
    consulted & ConsultedFieldBit.authority ? question.authority : '',
    consulted & ConsultedFieldBit.service ? question.service : '',
  ]);
}

test('decideInbound: fails closed through the cache: whoever shares the key of an allowance would have got it too', () => {
  fc.assert(
    fc.property(anyPolicies, anyQuestion, anyQuestion, (policies, one, other) => {
      const store = aStore({ workloads: [web], services, policies });
      const first = decideInbound(store, web, one);
      if (cacheKey(one, first.consulted) !== cacheKey(other, first.consulted)) return;
      const second = decideInbound(store, web, other);
      assert.equal(second.outcome.kind, first.outcome.kind);
      if (first.outcome.kind === 'allowance') assert.equal(second.deliverPort, first.deliverPort);
    }),
    { numRuns: 20_000 },
  );
});

test('decideInbound: the Service that names a connection to a bare address is a dependency, so that its label stays true', () => {
  const question: InboundQuestion = {
    kind: 'InboundQuestion',
    question: 1n,
    pod: 1,
    security: 'none',
    identity: '',
    source: { address: '10.1.0.1', port: 4000 },
    destination: { address: '10.0.0.2', port: 8443 },
    authority: '',
    service: '',
  };
  const before = decideInbound(aStore({ workloads: [web] }), web, question);
  assert.equal(before.service, undefined);
  const store = aStore({ workloads: [web] });
  const { keys } = store.apply({ services });
  assert.ok(
    [...keys].some((key) => before.dependencies.has(key)),
    'its arrival overturns the answer',
  );
  const after = decideInbound(store, web, question);
  assert.equal(after.service?.name, 'named');
  const { keys: gone } = store.apply({ removedAddresses: ['shop/named.shop.svc.cluster.local'] });
  assert.ok(
    [...gone].some((key) => after.dependencies.has(key)),
    'so does its removal',
  );
});

test('decideInbound: fails closed for a pod whose connections are to be handed over in a way that is not served', () => {
  const question: InboundQuestion = {
    kind: 'InboundQuestion',
    question: 1n,
    pod: 1,
    security: 'none',
    identity: '',
    source: { address: '10.1.0.1', port: 1 },
    destination: { address: '10.0.0.2', port: 8080 },
    authority: '',
    service: '',
  };
  const outcome = (protocol: 'NONE' | 'PROXY', tunnelPort: number) => {
    const pod = { ...web, applicationTunnel: { protocol, port: tunnelPort } };
    return decideInbound(aStore({ workloads: [pod], services }), pod, question).outcome;
  };
  const refused = { kind: 'refusal', code: 'UNSERVED_TUNNEL' };
  assert.deepEqual(outcome('PROXY', 15_088), refused);
  assert.deepEqual(outcome('PROXY', 0), refused);
  assert.deepEqual(outcome('NONE', 15_088), refused);
  assert.equal(outcome('NONE', 0).kind, 'allowance');
});

test('decideInbound: of several Services that lead to one port the one that was dialled is told, if the source says', () => {
  const both = aWorkload('both', '10.0.0.4', {
    services: new Map([
      ['shop/one.shop.svc.cluster.local', [port(80, 8080)]],
      ['shop/two.shop.svc.cluster.local', [port(8080, 8080)]],
    ]),
  });
  const store = aStore({
    workloads: [both],
    services: [
      aService('one', '10.96.0.1', { ports: [port(80, 8080)] }),
      aService('two', '10.96.0.2', { ports: [port(8080, 8080)] }),
    ],
  });
  const dialled = (service: string, to = 8080) => {
    const decision = decideInbound(store, both, {
      kind: 'InboundQuestion',
      question: 1n,
      pod: 1,
      security: 'handoff',
      identity: 'spiffe://cluster.local/ns/shop/sa/a',
      source: { address: '10.1.0.1', port: 1 },
      destination: { address: '10.0.0.4', port: to },
      authority: '',
      service,
    });
    return [decision.service?.name, (decision.consulted & ConsultedFieldBit.service) !== 0];
  };
  assert.deepEqual(dialled('two.shop.svc.cluster.local'), ['two', true]);
  assert.deepEqual(dialled('One.shop.svc.cluster.local'), ['one', true]);
  assert.deepEqual(dialled(''), ['one', true]);
  assert.deepEqual(dialled('other.example'), ['one', true]);
  // Where nothing hangs on it, a peer that says something else each time makes no new entry of the cache.
  assert.deepEqual(dialled('two.shop.svc.cluster.local', 9090), [undefined, false]);
});
