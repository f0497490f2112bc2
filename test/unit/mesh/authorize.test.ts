// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { InboundConnection } from '#src/mesh/authorize.ts';
import { authorize, explainAuthorization } from '#src/mesh/authorize.ts';
import type { Authorization, PolicyMatch, StringMatch } from '#src/model/policy.ts';
import type { RejectedResource } from '#src/model/rejected-resource.ts';
import type { Workload } from '#src/model/workload.ts';
import { aMatch, aPolicy, aStore, aWorkload } from './mesh-fixtures.ts';

const server = aWorkload('server', '10.0.0.2');
const cart = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'cart' };
const base: InboundConnection = {
  destination: server,
  identity: cart,
  sourceAddress: '10.0.0.1',
  destinationAddress: '10.0.0.2',
  destinationPort: 8080,
};
const { identity: _, ...plaintext } = base;

const exact = (value: string): StringMatch => ({ kind: 'exact', value });
const prefix = (value: string): StringMatch => ({ kind: 'prefix', value });
const suffix = (value: string): StringMatch => ({ kind: 'suffix', value });
const presence: StringMatch = { kind: 'presence' };
const range = (address: string, prefixLength: number) => ({ address, prefixLength });
const cartPrincipal = 'cluster.local/ns/shop/sa/cart';

// One match, alone in an ALLOW: does it match the connection?
const matches: readonly (readonly [string, Partial<PolicyMatch>, InboundConnection, boolean])[] = [
  ['a match without conditions never matches', {}, base, false],
  ['principal exact', { principals: [exact(cartPrincipal)] }, base, true],
  ['principal exact of another', { principals: [exact('cluster.local/ns/shop/sa/web')] }, base, false],
  ['principal is compared without its scheme', { principals: [exact(`spiffe://${cartPrincipal}`)] }, base, false],
  ['principal prefix', { principals: [prefix('cluster.local/ns/shop/')] }, base, true],
  ['principal suffix', { principals: [suffix('/sa/cart')] }, base, true],
  ['principal presence', { principals: [presence] }, base, true],
  ['principal presence in plaintext', { principals: [presence] }, plaintext, false],
  ['principal prefix "" in plaintext', { principals: [prefix('')] }, plaintext, false],
  ['not principal in plaintext', { notPrincipals: [exact(cartPrincipal)] }, plaintext, true],
  ['not principal presence in plaintext', { notPrincipals: [presence] }, plaintext, true],
  ['not principal presence with identity', { notPrincipals: [presence] }, base, false],
  ['values of a kind are ORed', { principals: [exact('x'), exact(cartPrincipal)] }, base, true],
  ['not: none of the values may match', { notPrincipals: [exact('x'), exact(cartPrincipal)] }, base, false],
  ['positive and negative must both hold', { principals: [presence], notPrincipals: [suffix('/cart')] }, base, false],
  ['namespace exact', { namespaces: [exact('shop')] }, base, true],
  ['namespace exact in plaintext', { namespaces: [exact('shop')] }, plaintext, false],
  ['namespace "" is that of plaintext', { namespaces: [exact('')] }, plaintext, true],
  ['namespace presence in plaintext', { namespaces: [presence] }, plaintext, false],
  ['not namespace in plaintext', { notNamespaces: [exact('shop')] }, plaintext, true],
  ['service account', { serviceAccounts: [{ namespace: 'shop', serviceAccount: 'cart' }] }, base, true],
  [
    'service account of another namespace',
    { serviceAccounts: [{ namespace: 'x', serviceAccount: 'cart' }] },
    base,
    false,
  ],
  [
    'service account in plaintext',
    { serviceAccounts: [{ namespace: 'shop', serviceAccount: 'cart' }] },
    plaintext,
    false,
  ],
  [
    'not service account in plaintext',
    { notServiceAccounts: [{ namespace: 'shop', serviceAccount: 'cart' }] },
    plaintext,
    true,
  ],
  ['source address in the range', { sourceIps: [range('10.0.0.0', 24)] }, base, true],
  ['source address outside', { sourceIps: [range('10.0.1.0', 24)] }, base, false],
  ['source address by odd prefix', { sourceIps: [range('10.0.0.0', 31)] }, base, true],
  ['source address of the other family', { sourceIps: [range('::', 0)] }, base, false],
  ['not source address of the other family', { notSourceIps: [range('::', 0)] }, base, true],
  ['IPv6 source', { sourceIps: [range('fd00::', 8)] }, { ...base, sourceAddress: 'fd12::1' }, true],
  ['range 0.0.0.0/0', { sourceIps: [range('0.0.0.0', 0)] }, base, true],
  ['destination address', { destinationIps: [range('10.0.0.2', 32)] }, base, true],
  ['not destination address', { notDestinationIps: [range('10.0.0.2', 32)] }, base, false],
  ['destination port', { destinationPorts: [80, 8080] }, base, true],
  ['destination port of another', { destinationPorts: [80] }, base, false],
  ['not destination port', { notDestinationPorts: [80] }, base, true],
  ['kinds are ANDed', { destinationPorts: [8080], namespaces: [exact('x')] }, base, false],
  [
    'kinds are ANDed and hold',
    { destinationPorts: [8080], namespaces: [exact('shop')], sourceIps: [range('10.0.0.1', 32)] },
    base,
    true,
  ],
];
for (const [claim, match, connection, allowed] of matches) {
  test(`authorize: ${claim}: ${allowed}`, () => {
    const store = aStore({ policies: [aPolicy('p', match)] });
    const { outcome } = authorize(store, connection);
    assert.deepEqual(
      outcome,
      allowed ? { kind: 'allowance', policy: 'shop/p' } : { kind: 'refusal', code: 'POLICY_NOT_ALLOWED' },
    );
  });
}

const yes = { destinationPorts: [8080] };
const no = { destinationPorts: [1] };
const deny = { action: 'DENY' } as const;
const clause = (...list: Partial<PolicyMatch>[]) => ({ matches: list.map(aMatch) });
const strict = aPolicy(
  'strict',
  { notPrincipals: [presence] },
  { ...deny, namespace: 'istio-system', scope: 'WORKLOAD_SELECTOR' },
);
const named = (...keys: string[]): Workload => ({ ...server, authorizationPolicies: keys });

const combinations: readonly {
  readonly claim: string;
  readonly policies: readonly Authorization[];
  readonly rejected?: readonly RejectedResource[];
  readonly connection?: InboundConnection;
  readonly want: string;
}[] = [
  { claim: 'without policies all is allowed', policies: [], want: 'allow' },
  {
    claim: 'DENY wins over ALLOW',
    policies: [aPolicy('a', yes), aPolicy('d', yes, deny)],
    want: 'POLICY_DENIED shop/d',
  },
  { claim: 'a DENY that does not match leaves all allowed', policies: [aPolicy('d', no, deny)], want: 'allow' },
  { claim: 'one ALLOW of several is enough', policies: [aPolicy('a', no), aPolicy('b', yes)], want: 'allow shop/b' },
  { claim: 'ALLOW without rules denies all', policies: [aPolicy('a', {}, { rules: [] })], want: 'POLICY_NOT_ALLOWED' },
  { claim: 'DENY without rules denies nothing', policies: [aPolicy('d', {}, { rules: [], ...deny })], want: 'allow' },
  {
    claim: 'a rule without clauses matches all',
    policies: [aPolicy('a', {}, { rules: [{ clauses: [] }] })],
    want: 'allow shop/a',
  },
  {
    claim: 'a clause without matches holds',
    policies: [aPolicy('a', {}, { rules: [{ clauses: [clause()] }] })],
    want: 'allow shop/a',
  },
  {
    claim: 'clauses are ANDed',
    policies: [aPolicy('a', {}, { rules: [{ clauses: [clause(yes), clause(no)] }] })],
    want: 'POLICY_NOT_ALLOWED',
  },
  {
    claim: 'matches are ORed',
    policies: [aPolicy('a', {}, { rules: [{ clauses: [clause(no, yes)] }] })],
    want: 'allow shop/a',
  },
  {
    claim: 'rules are ORed',
    policies: [aPolicy('a', {}, { rules: [{ clauses: [clause(no)] }, { clauses: [clause(yes)] }] })],
    want: 'allow shop/a',
  },
  {
    claim: 'a policy of another namespace does not apply',
    policies: [aPolicy('d', yes, { ...deny, namespace: 'x' })],
    want: 'allow',
  },
  {
    claim: 'a global policy applies everywhere',
    policies: [aPolicy('d', yes, { ...deny, namespace: 'istio-system', scope: 'GLOBAL' })],
    want: 'POLICY_DENIED istio-system/d',
  },
  { claim: 'a selector policy does not apply unless named', policies: [strict], connection: plaintext, want: 'allow' },
  {
    claim: 'STRICT refuses plaintext',
    policies: [strict],
    connection: { ...plaintext, destination: named('istio-system/strict') },
    want: 'POLICY_DENIED istio-system/strict',
  },
  {
    claim: 'STRICT lets identities in',
    policies: [strict],
    connection: { ...base, destination: named('istio-system/strict') },
    want: 'allow',
  },
  {
    claim: 'fails closed when a named policy is missing',
    policies: [aPolicy('a', yes)],
    connection: { ...base, destination: named('shop/gone') },
    want: 'POLICY_UNKNOWN shop/gone',
  },
  {
    claim: 'fails closed when a policy of the namespace was rejected',
    policies: [aPolicy('a', yes)],
    rejected: [{ kind: 'policy', name: 'shop/new', reason: 'too new', addresses: [], scope: 'shop' }],
    want: 'POLICY_UNKNOWN shop/new',
  },
  {
    claim: 'fails closed when a policy of the whole mesh was rejected',
    policies: [],
    rejected: [{ kind: 'policy', name: 'root/new', reason: 'too new', addresses: [], scope: '' }],
    want: 'POLICY_UNKNOWN root/new',
  },
  {
    claim: 'a policy that was rejected elsewhere, or only for those who name it, has no say',
    policies: [],
    rejected: [
      { kind: 'policy', name: 'bank/new', reason: 'too new', addresses: [], scope: 'bank' },
      { kind: 'policy', name: 'shop/new', reason: 'too new', addresses: [] },
    ],
    want: 'allow',
  },
  { claim: 'a dry-run DENY does not deny', policies: [aPolicy('d', yes, { ...deny, dryRun: true })], want: 'allow' },
  {
    claim: 'a dry-run ALLOW neither allows nor makes ALLOW apply',
    policies: [aPolicy('a', no, { dryRun: true })],
    want: 'allow',
  },
  {
    claim: 'a dry-run ALLOW that matches does not help',
    policies: [aPolicy('a', yes, { dryRun: true }), aPolicy('b', no)],
    want: 'POLICY_NOT_ALLOWED',
  },
  {
    claim: 'STRICT with a permissive port lets plaintext in there',
    policies: [
      aPolicy(
        'c',
        {},
        {
          ...deny,
          scope: 'WORKLOAD_SELECTOR',
          rules: [{ clauses: [clause({ notPrincipals: [presence] }), clause({ notDestinationPorts: [8080] })] }],
        },
      ),
    ],
    connection: { ...plaintext, destination: named('shop/c') },
    want: 'allow',
  },
];
for (const { claim, policies, rejected = [], connection = base, want } of combinations) {
  test(`authorize: ${claim}`, () => {
    const { outcome } = authorize(aStore({ policies, rejected }), connection);
    const policy = outcome.policy === undefined ? '' : ` ${outcome.policy}`;
    assert.equal((outcome.kind === 'allowance' ? 'allow' : outcome.code) + policy, want);
  });
}

test('authorize: reports what dry-run policies matched', () => {
  const store = aStore({
    policies: [aPolicy('d', yes, { ...deny, dryRun: true }), aPolicy('a', no, { dryRun: true })],
  });
  assert.deepEqual(authorize(store, base).dryRunMatches, ['shop/d']);
});

const consulted: readonly (readonly [string, Partial<PolicyMatch>, readonly string[]])[] = [
  ['nothing when nothing is asked', {}, []],
  ['the port only', { destinationPorts: [8080] }, ['destinationPort']],
  [
    'not the source when the port has settled it',
    { destinationPorts: [1], sourceIps: [range('10.0.0.0', 8)] },
    ['destinationPort'],
  ],
  ['the identity', { principals: [presence] }, ['identity']],
  [
    'identity, then source',
    { namespaces: [exact('shop')], sourceIps: [range('10.0.0.0', 8)] },
    ['identity', 'sourceAddress'],
  ],
];
for (const [claim, match, fields] of consulted) {
  test(`authorize: consults ${claim}`, () => {
    const { consulted: seen } = authorize(aStore({ policies: [aPolicy('p', match)] }), base);
    assert.deepEqual([...seen].sort(), [...fields].sort());
  });
}

test('authorize: depends on the workload, its namespace, the global policies and those named', () => {
  const { dependencies } = authorize(aStore({}), { ...base, destination: named('shop/gone') });
  assert.deepEqual([...dependencies].sort(), [
    'policies/',
    'policies/shop',
    'policy/shop/gone',
    `workload/${server.uid}`,
  ]);
});

// Random policies over few values, so that they often meet the connections.
const text = fc.oneof(
  fc
    .constantFrom('shop', 'web', '', cartPrincipal, 'cluster.local/ns/web/sa/cart')
    .chain((value) => fc.constantFrom(exact(value), prefix(value), suffix(value))),
  fc.constant(presence),
);
const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 });
const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.1.1', 'fd00::1', 'fd00::2');
const ranges = list(
  fc.constantFrom(range('10.0.0.0', 24), range('10.0.0.1', 32), range('fd00::', 64), range('0.0.0.0', 0)),
);
const ports = list(fc.constantFrom(80, 8080));
const account = fc.record({ namespace: fc.constantFrom('shop', 'web'), serviceAccount: fc.constantFrom('cart', 'a') });
const anyMatch: fc.Arbitrary<PolicyMatch> = fc
  .record(
    {
      namespaces: list(text),
      notNamespaces: list(text),
      principals: list(text),
      notPrincipals: list(text),
      serviceAccounts: list(account),
      notServiceAccounts: list(account),
      sourceIps: ranges,
      notSourceIps: ranges,
      destinationIps: ranges,
      notDestinationIps: ranges,
      destinationPorts: ports,
      notDestinationPorts: ports,
    },
    { requiredKeys: [] },
  )
  .map((fields) => aMatch(fields as Partial<PolicyMatch>));
const anyPolicy = fc.record({
  scope: fc.constantFrom('GLOBAL', 'NAMESPACE', 'WORKLOAD_SELECTOR'),
  action: fc.constantFrom('ALLOW', 'DENY'),
  dryRun: fc.boolean(),
  rules: list(fc.record({ clauses: list(fc.record({ matches: list(anyMatch) })) })),
});
const anyPolicies = fc
  .array(anyPolicy, { maxLength: 5 })
  .map((policies) =>
    policies.map((policy, index): Authorization => ({ ...policy, name: `p${index}`, namespace: 'shop' })),
  );
const anyNames = fc.subarray(['shop/p0', 'shop/p1', 'shop/p2', 'shop/p3', 'shop/gone']);
const anyConnection = fc
  .record({
    identity: fc.option(
      fc.record({
        trustDomain: fc.constant('cluster.local'),
        namespace: fc.constantFrom('shop', 'web'),
        serviceAccount: fc.constantFrom('cart', 'a'),
      }),
    ),
    sourceAddress: address,
    destinationAddress: address,
    destinationPort: fc.constantFrom(80, 8080, 81),
  })
  .map(({ identity, ...rest }): Omit<InboundConnection, 'destination'> => (identity ? { ...rest, identity } : rest));

test('authorize: agrees with a slow reference evaluator', () => {
  fc.assert(
    fc.property(anyPolicies, anyNames, anyConnection, (policies, names, rest) => {
      const connection = { ...rest, destination: named(...names) };
      const { outcome } = authorize(aStore({ policies }), connection);
      assert.equal(outcome.kind === 'allowance', referenceAllows(policies, connection));
    }),
    { numRuns: 3000 },
  );
});

test('authorize: connections alike in the consulted fields get the same outcome', () => {
  fc.assert(
    fc.property(anyPolicies, anyNames, anyConnection, anyConnection, (policies, names, one, other) => {
      const store = aStore({ policies });
      const destination = named(...names);
      const first = authorize(store, { ...one, destination });
      // The other connection, made alike in what was consulted.
      const { identity, ...bare } = { ...other, ...pick(one, first.consulted) };
      const alike = first.consulted.has('identity') ? one.identity : identity;
      const second = authorize(store, { ...bare, ...(alike && { identity: alike }), destination });
      assert.deepEqual(second.outcome, first.outcome);
      assert.deepEqual(second.consulted, first.consulted);
    }),
    { numRuns: 3000 },
  );
});

test('explainAuthorization: says the same as authorize, and why', () => {
  fc.assert(
    fc.property(anyPolicies, anyNames, anyConnection, (policies, names, rest) => {
      const store = aStore({ policies });
      const connection = { ...rest, destination: named(...names) };
      const { policies: trace, consulted: _, ...explained } = explainAuthorization(store, connection);
      const { consulted: __, ...decided } = authorize(store, connection);
      assert.deepEqual(explained, decided);
      if (explained.outcome.policy) {
        assert.ok(trace.some(({ policy, matched }) => policy === explained.outcome.policy && matched));
      }
    }),
  );
});

test('explainAuthorization: lists each policy and clause with its verdict', () => {
  const rules = [{ clauses: [clause(yes), clause(no)] }];
  const store = aStore({ policies: [aPolicy('a', {}, { rules }), aPolicy('d', yes, deny)] });
  const { policies, outcome } = explainAuthorization(store, { ...base, destination: named('shop/gone') });
  assert.deepEqual(outcome, { kind: 'refusal', code: 'POLICY_UNKNOWN', policy: 'shop/gone' });
  assert.deepEqual(
    policies.map(({ policy, received, matched, clauses }) => [
      policy,
      received,
      matched,
      clauses.map((c) => c.matched),
    ]),
    [
      ['shop/gone', false, true, []],
      ['shop/d', true, true, [true]],
      ['shop/a', true, false, [true, false]],
    ],
  );
});

function pick(
  connection: Omit<InboundConnection, 'destination'>,
  fields: ReadonlySet<string>,
): Partial<InboundConnection> {
  return Object.fromEntries(Object.entries(connection).filter(([name]) => fields.has(name)));
}

// Written from the prose of the rules, without an eye on speed: addresses as bit strings, every field always looked at.
function referenceAllows(policies: readonly Authorization[], connection: InboundConnection): boolean {
  const { destination } = connection;
  const byKey = new Map(policies.map((policy) => [`${policy.namespace}/${policy.name}`, policy]));
  if (destination.authorizationPolicies.some((key) => !byKey.has(key))) return false;
  const applies = (policy: Authorization) =>
    policy.scope === 'GLOBAL' ||
    (policy.scope === 'NAMESPACE' && policy.namespace === destination.namespace) ||
    destination.authorizationPolicies.includes(`${policy.namespace}/${policy.name}`);
  const enforced = policies.filter((policy) => applies(policy) && !policy.dryRun);
  const hits = enforced.filter((policy) => referenceMatches(policy, connection));
  if (hits.some((policy) => policy.action === 'DENY')) return false;
  if (!enforced.some((policy) => policy.action === 'ALLOW')) return true;
  return hits.some((policy) => policy.action === 'ALLOW');
}

function referenceMatches(policy: Authorization, connection: InboundConnection): boolean {
  for (const rule of policy.rules) {
    let all = true;
    for (const { matches: alternatives } of rule.clauses) {
      if (alternatives.length > 0 && alternatives.filter((match) => referenceMatch(match, connection)).length === 0)
        all = false;
    }
    if (all) return true;
  }
  return false;
}

function referenceMatch(match: PolicyMatch, connection: InboundConnection): boolean {
  const { identity } = connection;
  const who = identity ? `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}` : null;
  const textHits = (m: StringMatch, value: string | null) => {
    if (value === null) return false;
    if (m.kind === 'presence') return value.length > 0;
    if (m.kind === 'exact') return value === m.value;
    return m.kind === 'prefix' ? value.indexOf(m.value) === 0 : value.slice(value.length - m.value.length) === m.value;
  };
  const inside = (r: { address: string; prefixLength: number }, ip: string) => {
    if (r.address.includes(':') !== ip.includes(':')) return false;
    return bits(r.address).slice(0, r.prefixLength) === bits(ip).slice(0, r.prefixLength);
  };
  const kinds: readonly [readonly boolean[], readonly boolean[]][] = [
    [
      match.namespaces.map((m) => textHits(m, identity?.namespace ?? '')),
      match.notNamespaces.map((m) => textHits(m, identity?.namespace ?? '')),
    ],
    [match.principals.map((m) => textHits(m, who)), match.notPrincipals.map((m) => textHits(m, who))],
    [
      match.serviceAccounts.map(
        (m) => m.namespace === identity?.namespace && m.serviceAccount === identity.serviceAccount,
      ),
      match.notServiceAccounts.map(
        (m) => m.namespace === identity?.namespace && m.serviceAccount === identity.serviceAccount,
      ),
    ],
    [
      match.sourceIps.map((r) => inside(r, connection.sourceAddress)),
      match.notSourceIps.map((r) => inside(r, connection.sourceAddress)),
    ],
    [
      match.destinationIps.map((r) => inside(r, connection.destinationAddress)),
      match.notDestinationIps.map((r) => inside(r, connection.destinationAddress)),
    ],
    [
      match.destinationPorts.map((p) => p === connection.destinationPort),
      match.notDestinationPorts.map((p) => p === connection.destinationPort),
    ],
  ];
  if (kinds.every(([some, none]) => some.length + none.length === 0)) return false;
  return kinds.every(([some, none]) => (some.length === 0 || some.includes(true)) && !none.includes(true));
}

function bits(ip: string): string {
  if (!ip.includes(':'))
    return ip
      .split('.')
      .map((octet) => Number(octet).toString(2).padStart(8, '0'))
      .join('');
  const [head = '', tail = ''] = ip.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const missing = 8 - groups(head).length - groups(tail).length;
  return [...groups(head), ...new Array<string>(missing).fill('0'), ...groups(tail)]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
    .join('');
}
