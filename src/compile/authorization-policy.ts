// SPDX-License-Identifier: Apache-2.0

import type { Authorization, PolicyMatch, PolicyRule, PolicyScope, StringMatch } from '../model/policy.ts';
import { UNREADABLE_PREFIX } from '../model/policy-origin.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { Notice } from '../objects/problem.ts';
import type {
  AuthorizationPolicyObject,
  Condition,
  OperationMatch,
  PolicyObjectRule,
  SourceMatch,
} from '../objects/security-objects.ts';

/** A match without a constraint, to spread over. */
export const EMPTY_MATCH: PolicyMatch = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  serviceAccounts: [],
  notServiceAccounts: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
};

/** What one attribute group of a rule comes to at L4. */
interface L4Part {
  /** All must hold. Empty: nothing here can be told at L4, or nothing was asked. */
  readonly matches: readonly PolicyMatch[];
  /** What had to be left out. */
  readonly unseen: readonly string[];
}

/**
 * Turns an AuthorizationPolicy into what a node enforces on connections, or `undefined` where nodes have no part in it.
 *
 * What only L7 can see always errs on the closed side. In an ALLOW the rule is left out, so less is allowed. In a DENY
 * only the attribute is left out, so more is denied, up to everything when nothing remains (Istio makes such a rule
 * match nothing, and the DENY is then silently ineffective). CUSTOM asks an external authorizer, whom a node cannot
 * ask: what it would have decided is denied. AUDIT decides nothing and is left out. targetRefs name what only a waypoint
 * sees, so such a policy is left out too.
 * Source: istio pilot/pkg/serviceregistry/ambient/authorization.go @86c9f01; deviations: docs/adr/0011.
 */
export function compileAuthorizationPolicy(
  policy: AuthorizationPolicyObject,
  rootNamespace: string,
  notices: Notice[],
): Authorization | undefined {
  const note = (code: Notice['code'], message: string): void => {
    notices.push({ code, object: objectKey('AuthorizationPolicy', policy.meta), message });
  };
  if (policy.action === 'AUDIT') {
    note('ACTION_UNSUPPORTED', 'a node does not support the AUDIT action; the policy is left out');
    return undefined;
  }
  if (policy.targetRefs.length > 0) {
    note(
      'NOT_ENFORCED',
      `targetRefs are a waypoint's to enforce and this version has none: nothing enforces this ${policy.action}; use a selector`,
    );
    return undefined;
  }
  if (policy.unreadable !== undefined) {
    note(
      'POLICY_UNREADABLE',
      `cannot be understood and has no earlier version, so nobody knows what it was to forbid: every connection to ${describeScope(policy, rootNamespace)} is denied until it is corrected or removed`,
    );
  }
  if (policy.action === 'CUSTOM') {
    note(
      'ACTION_UNSUPPORTED',
      'a node cannot ask an external authorizer; what the CUSTOM action would decide is denied',
    );
  }
  if (policy.dryRun) note('DRY_RUN', 'sent for dry run: evaluated, never enforced');
  const action = policy.action === 'ALLOW' ? 'ALLOW' : 'DENY';
  const rules = policy.rules.flatMap((rule) => {
    const { rules: compiled, unseen } = compileRule(rule);
    if (unseen.length === 0) return compiled;
    const attributes = unseen.join(', ');
    if (action === 'ALLOW') {
      note('POLICY_NARROWED', `a rule that needs L7 (${attributes}) is left out at L4: less is allowed than written`);
      return [];
    }
    note('POLICY_WIDENED', `L7 attributes (${attributes}) are left out at L4: more is denied than written`);
    return compiled;
  });
  const { namespace } = policy.meta;
  // A node cannot see that a denial of everything was never meant by anybody, unless its name says so.
  const name = policy.unreadable === undefined ? policy.meta.name : `${UNREADABLE_PREFIX}${policy.meta.name}`;
  return { name, namespace, scope: scopeOf(policy, rootNamespace), action, rules, dryRun: policy.dryRun };
}

function scopeOf({ selector, meta }: AuthorizationPolicyObject, rootNamespace: string): PolicyScope {
  if (selector.size > 0) return 'WORKLOAD_SELECTOR';
  return meta.namespace === rootNamespace ? 'GLOBAL' : 'NAMESPACE';
}

/** The pods of a scope, in words. */
export function describeScope(
  { selector, meta }: Pick<AuthorizationPolicyObject, 'selector' | 'meta'>,
  rootNamespace: string,
): string {
  const labels = [...selector].map(([key, value]) => `${key}=${value}`).join(', ');
  const pods = labels === '' ? 'all pods' : `pods with ${labels}`;
  // In the root namespace a selector selects in every namespace.
  return meta.namespace === rootNamespace ? `${pods} of the mesh` : `${pods} of namespace ${meta.namespace}`;
}

function compileRule(rule: PolicyObjectRule): { rules: PolicyRule[]; unseen: string[] } {
  const operations = rule.operations.map(compileOperation);
  const sources = rule.sources.map(compileSource);
  const conditions = rule.conditions.map(compileCondition);
  const unseen = [...operations, ...sources, ...conditions].flatMap((part) => part.unseen);
  const before = anyOf(operations);
  const after = conditions.flatMap(({ matches }) => matches.map((match) => ({ matches: [match] })));
  // A source that needs two matches at once does not fit in a list of alternatives: its rule is written once a source.
  const alternatives = sources.every(({ matches }) => matches.length <= 1)
    ? [anyOf(sources)]
    : sources.map(({ matches }) => matches.map((match) => ({ matches: [match] })));
  return { rules: alternatives.map((between) => ({ clauses: [...before, ...between, ...after] })), unseen };
}

/** One clause with each part as an alternative; none when there is no part, or when one of them is always true. */
function anyOf(parts: readonly L4Part[]): PolicyRule['clauses'] {
  if (parts.length === 0 || parts.some(({ matches }) => matches.length === 0)) return [];
  return [{ matches: parts.flatMap(({ matches }) => matches) }];
}

function compileOperation({ ports, l7 }: OperationMatch): L4Part {
  const match = { ...EMPTY_MATCH, destinationPorts: ports.in, notDestinationPorts: ports.notIn };
  return { matches: constrained(match), unseen: l7 };
}

function compileCondition(condition: Condition): L4Part {
  switch (condition.on) {
    case 'source':
      return compileSource(condition.source);
    case 'destinationIps': {
      const { ranges } = condition;
      return { matches: [{ ...EMPTY_MATCH, destinationIps: ranges.in, notDestinationIps: ranges.notIn }], unseen: [] };
    }
    case 'destinationPorts':
      return compileOperation({ ports: condition.ports, l7: [] });
    case 'l7':
      return { matches: [], unseen: [condition.key] };
  }
}

function compileSource(source: SourceMatch): L4Part {
  const trusted = principalsOfTrustDomains(source.trustDomains.in);
  const distrusted = principalsOfTrustDomains(source.trustDomains.notIn);
  const unseen = [
    ...source.l7,
    ...(trusted ? [] : ['trustDomains with a leading wildcard']),
    ...(distrusted ? [] : ['notTrustDomains with a leading wildcard']),
  ];
  const match = {
    ...EMPTY_MATCH,
    namespaces: source.namespaces.in,
    notNamespaces: source.namespaces.notIn,
    principals: source.principals.in,
    notPrincipals: [...source.principals.notIn, ...(distrusted ?? [])],
    serviceAccounts: source.serviceAccounts.in,
    notServiceAccounts: source.serviceAccounts.notIn,
    sourceIps: source.ipBlocks.in,
    notSourceIps: source.ipBlocks.notIn,
  };
  const principals = trusted ?? [];
  if (principals.length === 0) return { matches: constrained(match), unseen };
  if (match.principals.length === 0) return { matches: [{ ...match, principals }], unseen };
  // Values of one kind are alternatives, so "this principal and that trust domain" takes two matches.
  return { matches: [match, { ...EMPTY_MATCH, principals }], unseen };
}

/**
 * A trust domain is the first segment of a principal, so a pattern on it is a prefix of the principal.
 *
 * `undefined` when one of the patterns is the end of a trust domain, which no pattern on principals can say.
 */
function principalsOfTrustDomains(patterns: readonly StringMatch[]): readonly StringMatch[] | undefined {
  if (patterns.some(({ kind }) => kind === 'suffix')) return undefined;
  return patterns.map((pattern) =>
    pattern.kind === 'exact' ? { kind: 'prefix', value: `${pattern.value}/` } : pattern,
  );
}

function constrained(match: PolicyMatch): readonly PolicyMatch[] {
  return Object.values(match).some((values) => values.length > 0) ? [match] : [];
}
