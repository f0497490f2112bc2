// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import test from 'node:test';
import type { OptAnswer, Packet, RecordType } from 'dns-packet';
import { decode, encode, RECURSION_DESIRED } from 'dns-packet';
import fc from 'fast-check';
import type { NameDecision } from '#src/mesh/resolve-name.ts';
import { resolveName } from '#src/mesh/resolve-name.ts';
import { aService, aStore, aWorkload, serving } from './mesh-fixtures.ts';

const client = aWorkload('client', '10.0.0.1');
const endpointOf = (service: string) => serving(`shop/${service}.shop.svc.cluster.local`);
const store = aStore({
  services: [
    aService('web', '10.96.0.1'),
    aService('dual', undefined, {
      addresses: [
        { network: '', address: '10.96.0.2' },
        { network: '', address: 'fd00::2' },
      ],
    }),
    aService('v4only', undefined, {
      ipFamilies: 'IPV4_ONLY',
      addresses: [
        { network: '', address: '10.96.0.3' },
        { network: '', address: 'fd00::3' },
      ],
    }),
    aService('headless', undefined),
    aService('lonely', undefined),
    aService('unready', undefined, {
      loadBalancing: { routingPreference: [], mode: 'UNSPECIFIED_MODE', healthPolicy: 'ALLOW_ALL' },
    }),
    aService('faraway', undefined, { addresses: [{ network: 'other', address: '10.99.0.1' }] }),
    aService('range', undefined, { addresses: [{ network: '', address: '10.97.0.0', prefixLength: 16 }] }),
    aService('web', '10.96.1.1', { namespace: 'bank' }),
    aService('secret', '10.96.1.2', { namespace: 'bank', visibility: 'NAMESPACE' }),
    aService('api', '240.0.0.1', { hostname: 'api.example.com' }),
    aService('api2', '240.0.0.9', { namespace: 'bank', hostname: 'api.example.com' }),
    aService('any', '240.0.0.2', { hostname: '*.example.com' }),
    aService('deep', '240.0.0.3', { hostname: '*.deep.example.com' }),
    aService('both', '240.0.0.4', { namespace: 'x', hostname: 'both.example.org' }),
    aService('both', '240.0.0.5', { namespace: 'y', hostname: 'both.example.org', canonical: true }),
  ],
  workloads: [
    client,
    aWorkload('h1', '10.0.2.1', { addresses: ['10.0.2.1', 'fd00:2::1'], ...endpointOf('headless') }),
    aWorkload('h2', '10.0.2.2', endpointOf('headless')),
    aWorkload('h3', '10.0.2.3', { status: 'UNHEALTHY', ...endpointOf('headless') }),
    aWorkload('h4', '10.0.2.4', { network: 'other', ...endpointOf('headless') }),
    aWorkload('h5', '10.0.2.5', { hostname: 'x', addresses: [], ...endpointOf('headless') }),
    aWorkload('u1', '10.0.3.1', { status: 'UNHEALTHY', ...endpointOf('unready') }),
  ],
});

const options = {
  clusterDomain: 'cluster.local',
  ownsClusterDomain: false,
  transport: 'udp',
  random: () => 0,
} as const;
const OPT: OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0x8000,
  flag_do: true,
  options: [],
};

function query(name: string, type: RecordType = 'A', fields: Packet = {}): Uint8Array {
  return encode({
    type: 'query',
    id: 77,
    flags: RECURSION_DESIRED,
    questions: [{ type, name, class: 'IN' }],
    ...fields,
  });
}

/** `forward`, `drop`, `NXDOMAIN`, `empty`, or the records as `owner type data`. */
function show(decision: NameDecision): string | string[] {
  if (decision.kind !== 'answer') return decision.kind;
  if (decision.reason === 'malformed') return 'malformed';
  const { rcode, answers = [] } = decode(Buffer.from(decision.message)) as ReturnType<typeof decode> & {
    rcode: string;
  };
  assert.equal(rcode === 'NXDOMAIN', decision.reason === 'unknown_name');
  if (answers.length === 0) return rcode === 'NXDOMAIN' ? rcode : 'empty';
  return answers.map(
    (answer) =>
      `${answer.name} ${answer.type} ${'data' in answer && typeof answer.data === 'string' ? answer.data : '?'}`,
  );
}

const web = 'web.shop.svc.cluster.local';
const headless = 'headless.shop.svc.cluster.local';
const table: readonly (readonly [string, string, RecordType, string | readonly string[], string?])[] = [
  ['a full name', web, 'A', [`${web} A 10.96.0.1`]],
  [
    'a full name in any case keeps the case',
    'WeB.Shop.svc.Cluster.Local',
    'A',
    ['WeB.Shop.svc.Cluster.Local A 10.96.0.1'],
  ],
  ['the other family of a known name is empty', web, 'AAAA', 'empty'],
  ['an IPv6 address', 'dual.shop.svc.cluster.local', 'AAAA', ['dual.shop.svc.cluster.local AAAA fd00::2']],
  ['the IPv4 address of both', 'dual.shop.svc.cluster.local', 'A', ['dual.shop.svc.cluster.local A 10.96.0.2']],
  ['a family that the Service excludes is empty', 'v4only.shop.svc.cluster.local', 'AAAA', 'empty'],
  ['the family that it has', 'v4only.shop.svc.cluster.local', 'A', ['v4only.shop.svc.cluster.local A 10.96.0.3']],
  ['a bare name is of the own namespace', 'web', 'A', ['web A 10.96.0.1']],
  ['a bare name in another namespace', 'web', 'A', ['web A 10.96.1.1'], 'bank'],
  ['a bare name that the own namespace lacks', 'headless', 'A', 'forward', 'bank'],
  ['name.namespace', 'web.bank', 'A', ['web.bank A 10.96.1.1']],
  ['name.namespace.svc', 'web.bank.svc', 'A', ['web.bank.svc A 10.96.1.1']],
  ['bare name, other family', 'web', 'AAAA', 'empty'],
  ['an unknown bare name', 'nothing', 'A', 'forward'],
  ['an unknown Service of a known namespace', 'nothing.shop.svc.cluster.local', 'A', 'forward'],
  ['a name outside', 'www.debian.org', 'A', 'forward'],
  ['a name outside, AAAA', 'www.debian.org', 'AAAA', 'forward'],
  ['the root', '.', 'A', 'forward'],
  ['the domain of the cluster', 'cluster.local', 'A', 'forward'],
  ['a namespace', 'shop.svc.cluster.local', 'A', 'forward'],
  [
    'headless gives its healthy endpoints on our network',
    headless,
    'A',
    [`${headless} A 10.0.2.1`, `${headless} A 10.0.2.2`],
  ],
  ['headless, IPv6', headless, 'AAAA', [`${headless} AAAA fd00:2::1`]],
  ['headless by bare name', 'headless', 'A', ['headless A 10.0.2.1', 'headless A 10.0.2.2']],
  ['headless without endpoints is empty', 'lonely.shop.svc.cluster.local', 'A', 'empty'],
  [
    'headless that publishes the unready',
    'unready.shop.svc.cluster.local',
    'A',
    ['unready.shop.svc.cluster.local A 10.0.3.1'],
  ],
  ['an address on another network is not given', 'faraway.shop.svc.cluster.local', 'A', 'empty'],
  ['a range is not an address', 'range.shop.svc.cluster.local', 'A', 'empty'],
  ['a Service of another namespace only', 'secret.bank.svc.cluster.local', 'A', 'forward'],
  [
    'the same in its own namespace',
    'secret.bank.svc.cluster.local',
    'A',
    ['secret.bank.svc.cluster.local A 10.96.1.2'],
    'bank',
  ],
  ['a host of a ServiceEntry', 'api.example.com', 'A', ['api.example.com A 240.0.0.1']],
  ['the same host as another namespace sees it', 'api.example.com', 'A', ['api.example.com A 240.0.0.9'], 'bank'],
  ['of two elsewhere the canonical one', 'both.example.org', 'A', ['both.example.org A 240.0.0.5']],
  [
    'the search list appended the namespace',
    'api.example.com.shop.svc.cluster.local',
    'A',
    ['api.example.com.shop.svc.cluster.local CNAME api.example.com', 'api.example.com A 240.0.0.1'],
  ],
  [
    'the search list appended svc',
    'api.example.com.svc.cluster.local',
    'A',
    ['api.example.com.svc.cluster.local CNAME api.example.com', 'api.example.com A 240.0.0.1'],
  ],
  [
    'the search list appended the domain',
    'api.example.com.cluster.local',
    'A',
    ['api.example.com.cluster.local CNAME api.example.com', 'api.example.com A 240.0.0.1'],
  ],
  ['the search list of another namespace is not ours', 'api.example.com.bank.svc.cluster.local', 'A', 'forward'],
  ['a wildcard', 'foo.example.com', 'A', ['foo.example.com A 240.0.0.2']],
  ['a wildcard covers several labels', 'a.b.example.com', 'A', ['a.b.example.com A 240.0.0.2']],
  ['the closest wildcard wins', 'foo.deep.example.com', 'A', ['foo.deep.example.com A 240.0.0.3']],
  ['an exact name beats a wildcard', 'api.example.com', 'A', ['api.example.com A 240.0.0.1']],
  ['a wildcard does not cover its own domain', 'example.com', 'A', 'forward'],
  ['a wildcard, other family', 'foo.example.com', 'AAAA', 'empty'],
  [
    'a wildcard after the search list',
    'foo.example.com.shop.svc.cluster.local',
    'A',
    ['foo.example.com.shop.svc.cluster.local CNAME foo.example.com', 'foo.example.com A 240.0.0.2'],
  ],
  ['SRV of a mesh name is for the upstream', web, 'SRV', 'forward'],
  ['TXT of a mesh name is for the upstream', web, 'TXT', 'forward'],
  ['PTR is for the upstream', '1.0.96.10.in-addr.arpa', 'PTR', 'forward'],
  ['a literal star', '*.example.com', 'A', 'forward'],
];
for (const [claim, name, type, want, namespace = 'shop'] of table) {
  test(`resolveName: ${claim}`, () => {
    assert.deepEqual(show(resolveName(store, { ...client, namespace }, query(name, type), options)), want);
  });
}

test('resolveName: of names below a domain that is ours there is nothing but addresses, and no others', () => {
  const ask = (name: string, type: RecordType) =>
    show(resolveName(store, client, query(name, type), { ...options, ownsClusterDomain: true }));
  for (const type of ['SRV', 'TXT', 'MX', 'ANY', 'UNKNOWN_65'] as string[] as RecordType[]) {
    assert.equal(ask(web, type), 'empty', type);
    assert.equal(ask('nothing.shop.svc.cluster.local', type), 'NXDOMAIN', type);
    assert.equal(ask('api.example.com', type), 'forward', type);
    assert.equal(ask('api.example.com.shop.svc.cluster.local', type), 'empty', type);
  }
  assert.deepEqual(ask(web, 'A'), [`${web} A 10.96.0.1`]);
  for (const name of ['Nothing.Shop.svc.Cluster.Local', 'www.debian.org.shop.svc.cluster.local', '*.cluster.local']) {
    assert.equal(ask(name, 'A'), 'NXDOMAIN', name);
  }
  assert.equal(ask('cluster.local', 'A'), 'forward', 'the domain itself exists');
  // Bytes that are no text, and dots within a label: an answer could not repeat the question.
  for (const bytes of ['\xff', '.', '..', 'a.b']) {
    const odd = Buffer.from(query(`${'x'.repeat(bytes.length)}.cluster.local`, 'A', { additionals: [OPT] }));
    odd.write(bytes, 13, 'latin1');
    assert.equal(show(resolveName(store, client, odd, { ...options, ownsClusterDomain: true })), 'forward', bytes);
  }
  const answer = resolveName(store, client, query(web, 'TXT'), { ...options, ownsClusterDomain: true });
  assert.ok(answer.kind === 'answer');
  const { rcode, questions } = decode(Buffer.from(answer.message)) as ReturnType<typeof decode> & { rcode: string };
  assert.deepEqual([rcode, questions], ['NOERROR', [{ type: 'TXT', name: web, class: 'IN' }]]);
});

test('resolveName: the answer is a response to that query, for 30 seconds', () => {
  const decision = resolveName(store, client, query(web), options);
  assert.equal(decision.kind, 'answer');
  const packet = decode(Buffer.from(decision.message));
  assert.deepEqual(
    [packet.id, packet.type, packet.flag_rd, packet.flag_ra, packet.flag_tc],
    [77, 'response', true, true, false],
  );
  assert.deepEqual(packet.questions, [{ name: web, type: 'A', class: 'IN' }]);
  assert.equal(packet.answers?.[0] && 'ttl' in packet.answers[0] && packet.answers[0].ttl, 30);
  assert.equal(packet.additionals?.length, 0);
});

test('resolveName: EDNS is answered with EDNS, and only then', () => {
  const decision = resolveName(store, client, query(web, 'A', { additionals: [OPT] }), options);
  assert.equal(decision.kind, 'answer');
  const [opt] = decode(Buffer.from(decision.message)).additionals ?? [];
  assert.ok(opt?.type === 'OPT' && opt.udpPayloadSize === 1232 && opt.flag_do);
  const unknown = query('nothing.cluster.local', 'A', { additionals: [OPT] });
  const denial = resolveName(store, client, unknown, { ...options, ownsClusterDomain: true });
  assert.ok(denial.kind === 'answer' && decode(Buffer.from(denial.message)).additionals?.[0]?.type === 'OPT');
});

test('resolveName: addresses rotate', () => {
  const decision = resolveName(store, client, query(headless), { ...options, random: () => 0.5 });
  assert.deepEqual(show(decision), [`${headless} A 10.0.2.2`, `${headless} A 10.0.2.1`]);
});

test('resolveName: what does not fit is cut over UDP and said to be, and fits over TCP', () => {
  const workloads = Array.from({ length: 100 }, (_, i) => aWorkload(`p${i}`, `10.0.4.${i}`, endpointOf('headless')));
  const crowd = aStore({ services: [aService('headless', undefined)], workloads });
  const sizes = (['udp', 'tcp'] as const).map((transport) => {
    const decision = resolveName(crowd, client, query(headless), { ...options, transport });
    assert.equal(decision.kind, 'answer');
    const packet = decode(Buffer.from(decision.message));
    return { bytes: decision.message.length, cut: packet.flag_tc, records: packet.answers?.length };
  });
  assert.ok((sizes[0]?.bytes ?? 513) <= 512);
  assert.equal(sizes[0]?.cut, true);
  assert.deepEqual([sizes[1]?.cut, sizes[1]?.records], [false, 100]);
});

const header = (...bytes: number[]) => Uint8Array.from([0, 7, ...bytes]);
const hostile: readonly (readonly [string, Uint8Array, string])[] = [
  ['nothing', new Uint8Array(0), 'drop'],
  ['half a header', new Uint8Array(11), 'drop'],
  ['a response', Uint8Array.from(Buffer.from(query(web)).fill(0x84, 2, 3)), 'drop'],
  ['no question', header(1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 'malformed'],
  ['65535 promised questions', header(1, 0, 255, 255, 0, 0, 0, 0, 0, 0), 'malformed'],
  ['65535 promised additionals', header(1, 0, 0, 1, 0, 0, 0, 0, 255, 255), 'malformed'],
  ['two questions', header(1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1), 'malformed'],
  ['a question cut short', header(1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 119), 'malformed'],
  ['a name that points to itself', header(1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1), 'malformed'],
  ['a label of a reserved kind', header(1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 1, 0, 1), 'malformed'],
  ['an update', header(0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0), 'forward'],
  ['a class other than IN', encode({ type: 'query', questions: [{ type: 'A', name: web, class: 'CH' }] }), 'forward'],
  ['a name that is not one', encode({ type: 'query', questions: [{ type: 'A', name: 'a b\u0000.shop' }] }), 'forward'],
];
for (const [claim, bytes, want] of hostile) {
  test(`resolveName: survives ${claim}`, () => {
    assert.equal(show(resolveName(store, client, bytes, options)), want);
  });
}

test('resolveName: a malformed query is told so under its own id', () => {
  const decision = resolveName(store, client, header(1, 0, 0, 0, 0, 0, 0, 0, 0, 0), options);
  assert.equal(decision.kind, 'answer');
  assert.deepEqual([...decision.message], [0, 7, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('resolveName: never throws, whatever the bytes', () => {
  const mutated = fc
    .tuple(
      fc.constantFrom(
        query(web),
        query('nothing.cluster.local'),
        query('api.example.com.cluster.local', 'A', { additionals: [OPT] }),
      ),
      fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
    )
    .map(([bytes, edits]) => {
      const copy = Uint8Array.from(bytes);
      for (const [at, value] of edits) if (at < copy.length) copy[at] = value;
      return copy;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), mutated), (bytes) => {
      for (const ownsClusterDomain of [false, true]) {
        const decision = resolveName(store, client, bytes, { ...options, ownsClusterDomain });
        if (decision.kind === 'answer') decode(Buffer.from(decision.message));
      }
    }),
    { numRuns: 5000 },
  );
});
