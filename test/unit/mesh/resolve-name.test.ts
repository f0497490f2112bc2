// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import test from 'node:test';
import type { OptAnswer, Packet, RecordType } from 'dns-packet';
import { decode, encode, RECURSION_DESIRED } from 'dns-packet';
import fc from 'fast-check';
import type { NameDecision } from '#src/mesh/resolve-name.ts';
import { resolveName } from '#src/mesh/resolve-name.ts';
import type { Service, ServiceExtension } from '#src/model/service.ts';
import { aService, aStore, aWorkload, serving } from './mesh-fixtures.ts';

const client = aWorkload('client', '10.0.0.1');
const endpointOf = (service: string) => serving(`shop/${service}.shop.svc.cluster.local`);
const passthrough = { routingPreference: [], mode: 'PASSTHROUGH', healthPolicy: 'ALLOW_ALL' } as const;
const extended = (fields: Partial<ServiceExtension>): Pick<Service, 'extension'> => ({
  extension: { externalName: '', exportTo: [], affinityTimeoutSeconds: 0, ports: [], ...fields },
});
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
    aService('none', undefined, { hostname: 'mail.example.net', loadBalancing: passthrough }),
    aService('nones', undefined, { hostname: '*.none.example', loadBalancing: passthrough }),
    aService('named', undefined, extended({ ports: [{ name: 'http', protocol: 'tcp', port: 80 }] })),
    aService(
      'ports',
      '10.96.0.7',
      extended({
        ports: [
          { name: 'http', protocol: 'tcp', port: 80 },
          { name: 'dns', protocol: 'udp', port: 53 },
        ],
      }),
    ),
    aService('alias', undefined, extended({ externalName: 'web.shop.svc.cluster.local' })),
    aService('outside', undefined, extended({ externalName: 'db.example.org' })),
    aService('loop', undefined, extended({ externalName: 'pool.shop.svc.cluster.local' })),
    aService('pool', undefined, extended({ externalName: 'loop.shop.svc.cluster.local' })),
  ],
  workloads: [
    client,
    aWorkload('h1', '10.0.2.1', { addresses: ['10.0.2.1', 'fd00:2::1'], ...endpointOf('headless') }),
    aWorkload('h2', '10.0.2.2', endpointOf('headless')),
    aWorkload('h3', '10.0.2.3', { status: 'UNHEALTHY', ...endpointOf('headless') }),
    aWorkload('h4', '10.0.2.4', { network: 'other', ...endpointOf('headless') }),
    aWorkload('h5', '10.0.2.5', { hostname: 'x', addresses: [], ...endpointOf('headless') }),
    aWorkload('n0', '10.0.5.1', {
      ...endpointOf('named'),
      hostnames: new Map([['shop/named.shop.svc.cluster.local', 'n-0']]),
    }),
    aWorkload('n1', '10.0.5.2', {
      ...endpointOf('named'),
      hostnames: new Map([['shop/named.shop.svc.cluster.local', 'n-1']]),
    }),
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
  if (decision.kind === 'follow') return `follow ${decision.hostname}`;
  if (decision.kind !== 'answer') return decision.kind;
  if (decision.reason === 'malformed') return 'malformed';
  const { rcode, answers = [] } = decode(Buffer.from(decision.message)) as ReturnType<typeof decode> & {
    rcode: string;
  };
  assert.equal(rcode === 'NXDOMAIN', decision.reason === 'unknown_name');
  if (answers.length === 0) return rcode === 'NOERROR' ? 'empty' : rcode;
  return answers.map((answer) => {
    if (answer.type === 'SRV') return `${answer.name} SRV ${answer.data.port} ${answer.data.target}`;
    return `${answer.name} ${answer.type} ${'data' in answer && typeof answer.data === 'string' ? answer.data : '?'}`;
  });
}

const web = 'web.shop.svc.cluster.local';
const headless = 'headless.shop.svc.cluster.local';
const reverse6 = `2.${'0.'.repeat(29)}d.f.ip6.arpa`;
const named = 'named.shop.svc.cluster.local';
const ports = 'ports.shop.svc.cluster.local';
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
  ['headless without endpoints is for whoever knows more', 'lonely.shop.svc.cluster.local', 'A', 'forward'],
  [
    'headless that publishes the unready',
    'unready.shop.svc.cluster.local',
    'A',
    ['unready.shop.svc.cluster.local A 10.0.3.1'],
  ],
  ['an address on another network is not given', 'faraway.shop.svc.cluster.local', 'A', 'forward'],
  ['a range is not an address', 'range.shop.svc.cluster.local', 'A', 'forward'],
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
  ['PTR of a Service', '1.0.96.10.in-addr.arpa', 'PTR', [`1.0.96.10.in-addr.arpa PTR ${web}`]],
  [
    'PTR of an endpoint of a headless Service',
    '1.2.0.10.in-addr.arpa',
    'PTR',
    [`1.2.0.10.in-addr.arpa PTR 10-0-2-1.${headless}`],
  ],
  ['PTR of IPv6', reverse6, 'PTR', [`${reverse6} PTR dual.shop.svc.cluster.local`]],
  ['PTR of an address that is nobody’s', '9.9.9.9.in-addr.arpa', 'PTR', 'forward'],
  ['PTR of what is no address', '999.0.0.1.in-addr.arpa', 'PTR', 'forward'],
  ['a host without addresses is the resolver’s to know', 'mail.example.net', 'A', 'forward'],
  ['a host below a wildcard without addresses, too', 'mx.none.example', 'A', 'forward'],
  ['an endpoint of a headless Service by its name', `n-0.${named}`, 'A', [`n-0.${named} A 10.0.5.1`]],
  ['an endpoint by its short name', 'n-1.named', 'A', ['n-1.named A 10.0.5.2']],
  ['an endpoint by its address', `10-0-5-1.${named}`, 'A', [`10-0-5-1.${named} A 10.0.5.1`]],
  ['an endpoint that is not there', `n-9.${named}`, 'A', 'forward'],
  ['SRV of a Service', `_http._tcp.${ports}`, 'SRV', [`_http._tcp.${ports} SRV 80 ${ports}`]],
  ['SRV of a UDP port', `_dns._udp.${ports}`, 'SRV', [`_dns._udp.${ports} SRV 53 ${ports}`]],
  ['SRV of a port that it has for another protocol', `_http._udp.${ports}`, 'SRV', 'forward'],
  [
    'SRV of a headless Service names each endpoint',
    `_http._tcp.${named}`,
    'SRV',
    [`_http._tcp.${named} SRV 8080 n-0.${named}`, `_http._tcp.${named} SRV 8080 n-1.${named}`],
  ],
  ['a pod by its address', '10-0-2-1.shop.pod.cluster.local', 'A', ['10-0-2-1.shop.pod.cluster.local A 10.0.2.1']],
  ['a pod by its address, other family', '10-0-2-1.shop.pod.cluster.local', 'AAAA', 'empty'],
  ['a pod of another namespace', '10-0-2-1.bank.pod.cluster.local', 'A', 'forward'],
  ['an ExternalName that leads to another Service', 'alias', 'A', [`alias CNAME ${web}`, `${web} A 10.96.0.1`]],
  ['an ExternalName, other family', 'alias', 'AAAA', ['alias CNAME web.shop.svc.cluster.local']],
  ['an ExternalName asked as such', 'alias', 'CNAME', [`alias CNAME ${web}`]],
  ['an ExternalName that leads outside', 'outside', 'A', 'follow db.example.org'],
  ['ExternalNames that lead to each other', 'loop', 'A', 'SERVFAIL'],
  ['a literal star', '*.example.com', 'A', 'forward'],
];
for (const [claim, name, type, want, namespace = 'shop'] of table) {
  test(`resolveName: ${claim}`, () => {
    assert.deepEqual(show(resolveName(store, { ...client, namespace }, query(name, type), options)), want);
  });
}

test('resolveName: of Services and pods below a domain that is ours there are the records we have, and no others', () => {
  const ask = (name: string, type: RecordType) =>
    show(resolveName(store, client, query(name, type), { ...options, ownsClusterDomain: true }));
  for (const type of ['SRV', 'TXT', 'MX', 'ANY', 'UNKNOWN_65'] as string[] as RecordType[]) {
    assert.equal(ask(web, type), 'empty', type);
    assert.equal(ask('nothing.shop.svc.cluster.local', type), 'NXDOMAIN', type);
    assert.equal(ask('api.example.com', type), 'forward', type);
    assert.equal(ask('api.example.com.shop.svc.cluster.local', type), 'empty', type);
  }
  assert.deepEqual(ask(web, 'A'), [`${web} A 10.96.0.1`]);
  for (const name of [
    'Nothing.Shop.svc.Cluster.Local',
    'www.debian.org.shop.svc.cluster.local',
    '1-2-3-4.shop.pod.cluster.local',
  ]) {
    assert.equal(ask(name, 'A'), 'NXDOMAIN', name);
  }
  // A host below a domain that somebody else serves, too; what has names below it exists.
  for (const name of ['cluster.local', 'svc.cluster.local', 'host.cluster.local', 'a.b.cluster.local'])
    assert.equal(ask(name, 'A'), 'forward', name);
  assert.equal(ask('shop.svc.cluster.local', 'A'), 'empty');
  assert.equal(ask('lonely.shop.svc.cluster.local', 'A'), 'empty', 'a Service without endpoints exists');
  assert.equal(ask('mx.none.example.shop.svc.cluster.local', 'A'), 'NXDOMAIN', 'the search list has to go on');
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
  const unknown = query('nothing.shop.svc.cluster.local', 'A', { additionals: [OPT] });
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

test('resolveName: what an ExternalName leads to outside comes with the TTL it has there', () => {
  const follow = (type: RecordType) => {
    const decision = resolveName(store, client, query('outside', type), options);
    assert.ok(decision.kind === 'follow');
    return (resolved: Parameters<typeof decision.compose>[0]) => {
      const packet = decode(Buffer.from(decision.compose(resolved, 9))) as ReturnType<typeof decode> & {
        rcode: string;
      };
      return [
        packet.rcode,
        ...(packet.answers ?? []).map((one) =>
          'ttl' in one && 'data' in one && typeof one.data === 'string' ? `${one.type} ${one.ttl} ${one.data}` : '?',
        ),
      ];
    };
  };
  const found = { kind: 'found', addresses: ['192.0.2.7', '2001:db8::7'] } as const;
  const alias = 'CNAME 30 db.example.org';
  assert.deepEqual(follow('A')(found), ['NOERROR', alias, 'A 9 192.0.2.7']);
  assert.deepEqual(follow('AAAA')(found), ['NOERROR', alias, 'AAAA 9 2001:db8::7']);
  assert.deepEqual(follow('A')({ kind: 'none', exists: true }), ['NOERROR', alias]);
  assert.deepEqual(follow('A')({ kind: 'none', exists: false }), ['NXDOMAIN', alias]);
  assert.deepEqual(follow('A')({ kind: 'failed' }), ['SERVFAIL']);
});
