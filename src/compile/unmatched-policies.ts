// SPDX-License-Identifier: Apache-2.0

import type { StringMatch } from '../model/policy.ts';
import { compareText, objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { PodObject, WorkloadEntryObject } from '../objects/objects.ts';
import { type Notice, shown } from '../objects/problem.ts';
import type { AuthorizationPolicyObject, PeerAuthenticationObject, SourceMatch } from '../objects/security-objects.ts';
import { SelectorIndex } from './selector-index.ts';
import type { CompileSettings } from './settings.ts';
import { labelsOf } from './workloads.ts';

type SecurityObject = AuthorizationPolicyObject | PeerAuthenticationObject;

/** Somebody whom a policy may concern. */
export interface Labelled {
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
}

/**
 * Whom the policies of a mesh find: which namespaces have somebody, and which selectors somebody.
 *
 * Those with the same labels are one to it, so that one more of them costs nothing.
 */
export class PolicyAudience {
  readonly #policies: readonly SecurityObject[];
  readonly #selecting = new SelectorIndex<SecurityObject>();
  readonly #groups = new Map<string, { readonly labelled: Labelled; count: number }>();
  readonly #matched = new Map<SecurityObject, number>();
  readonly #namespaces = new Map<string, number>();

  /** `fixed` are there for as long as this is. */
  constructor(policies: readonly SecurityObject[], rootNamespace: string, fixed: readonly Labelled[]) {
    this.#policies = policies;
    for (const policy of policies) {
      const { namespace } = policy.meta;
      this.#selecting.add(namespace === rootNamespace ? '' : namespace, policy.selector, policy);
    }
    for (const labelled of fixed) this.#count(labelled, increase);
  }

  get policies(): readonly SecurityObject[] {
    return this.#policies;
  }

  /** Each group of what was added, with how many there are of it. */
  groups(): Iterable<{ readonly labelled: Labelled; readonly count: number }> {
    return this.#groups.values();
  }

  /** True when a policy finds somebody that found nobody, or a namespace has its first. */
  add(labelled: Labelled, count = 1): boolean {
    const key = groupKey(labelled);
    const group = this.#groups.get(key);
    if (group !== undefined) {
      group.count += count;
      return false;
    }
    this.#groups.set(key, { labelled, count });
    return this.#count(labelled, increase);
  }

  /** True when a policy or a namespace has nobody left. */
  remove(labelled: Labelled): boolean {
    const key = groupKey(labelled);
    const group = this.#groups.get(key);
    if (group === undefined) return false;
    group.count -= 1;
    if (group.count > 0) return false;
    this.#groups.delete(key);
    return this.#count(labelled, decrease);
  }

  #count({ namespace, labels }: Labelled, change: typeof increase): boolean {
    const found = this.#selecting.find(namespace, labels).map((policy) => change(this.#matched, policy));
    return [change(this.#namespaces, namespace), ...found].includes(true);
  }

  matches(policy: SecurityObject): boolean {
    return this.#matched.has(policy);
  }

  namespaces(): Iterable<string> {
    return this.#namespaces.keys();
  }
}

/** Of two that are alike to every selector. */
function groupKey({ namespace, labels }: Labelled): string {
  return JSON.stringify([namespace, ...[...labels].sort(([a], [b]) => compareText(a, b))]);
}

/** True when it is the first. */
function increase<K>(counts: Map<K, number>, key: K): boolean {
  const count = counts.get(key) ?? 0;
  counts.set(key, count + 1);
  return count === 0;
}

/** True when it was the last. */
function decrease<K>(counts: Map<K, number>, key: K): boolean {
  const count = counts.get(key) ?? 0;
  if (count > 1) counts.set(key, count - 1);
  else counts.delete(key);
  return count === 1;
}

/** Every security object in force, in the order in which it is told of them. */
export function securityObjects(objects: ObjectSnapshot): SecurityObject[] {
  return [...objects.of('AuthorizationPolicy'), ...objects.of('PeerAuthentication')];
}

/** Endpoints of ServiceEntries, which are written in them. */
export function entryAudience(objects: ObjectSnapshot): Labelled[] {
  return objects
    .of('ServiceEntry')
    .flatMap(({ meta, endpoints }) => endpoints.map(({ labels }) => ({ namespace: meta.namespace, labels })));
}

export function audienceOf(object: PodObject | WorkloadEntryObject): Labelled {
  return { namespace: object.meta.namespace, labels: labelsOf(object) };
}

/**
 * Tells of policies that are valid and yet concern nobody: a slip in a name leaves open what was to be closed.
 *
 * What is told: a DENY without rules, a selector or namespace that no workload has, and a source that nobody can prove
 * to be. A pod that is not there yet counts as nobody: the notice goes when it comes.
 */
export function noteUnmatchedPolicies(
  objects: ObjectSnapshot,
  audience: PolicyAudience,
  settings: CompileSettings,
  notices: Notice[],
): void {
  const { rootNamespace } = settings;
  const namespaces = new Set([...objects.of('Namespace').map(({ meta }) => meta.name), ...audience.namespaces()]);
  const note = (policy: SecurityObject, field: string, message: string): void => {
    const text = `${field}: ${message} (${objects.placeOf(policy)})`;
    notices.push({ code: 'MATCHES_NOBODY', object: objectKey(policy.kind, policy.meta), message: text });
  };
  for (const policy of audience.policies) {
    const { namespace } = policy.meta;
    if (namespace !== rootNamespace && !namespaces.has(namespace))
      note(policy, 'metadata.namespace', `there is no namespace ${namespace}: nothing enforces this policy`);
    else if (policy.selector.size > 0 && !audience.matches(policy))
      note(policy, 'spec.selector', `no workload has these labels: nothing enforces this policy`);
    if (policy.kind === 'AuthorizationPolicy' && policy.unreadable === undefined)
      for (const [field, message] of wrongWithRules(policy, namespaces, settings)) note(policy, field, message);
  }
}

function* wrongWithRules(
  { action, rules }: AuthorizationPolicyObject,
  namespaces: ReadonlySet<string>,
  { trustDomain }: CompileSettings,
): Iterable<[field: string, message: string]> {
  if (action === 'DENY' && rules.length === 0)
    yield ['spec.rules', 'a DENY without rules denies nothing; one empty rule, `- {}`, denies everything'];
  for (const [index, { sources, conditions }] of rules.entries()) {
    const asked: [string, SourceMatch][] = [
      ...sources.map((source, i): [string, SourceMatch] => [`spec.rules[${index}].from[${i}].source`, source]),
      ...conditions.flatMap((condition, i): [string, SourceMatch][] =>
        condition.on === 'source' ? [[`spec.rules[${index}].when[${i}]`, condition.source]] : [],
      ),
    ];
    for (const [field, source] of asked) {
      for (const message of wrongWithSource(source, namespaces, trustDomain)) yield [field, message];
    }
  }
}

function* wrongWithSource(
  { principals, namespaces, serviceAccounts, trustDomains }: SourceMatch,
  known: ReadonlySet<string>,
  trustDomain: string,
): Iterable<string> {
  for (const match of [...principals.in, ...principals.notIn]) {
    const reason = wrongWithPrincipal(match, known, trustDomain);
    if (reason !== undefined) yield `nobody is "${describe(match)}": ${reason}`;
  }
  for (const match of [...trustDomains.in, ...trustDomains.notIn]) {
    if (match.kind === 'exact' && match.value !== trustDomain) yield foreign(match.value, trustDomain);
  }
  for (const match of [...namespaces.in, ...namespaces.notIn]) {
    if (match.kind === 'exact' && !known.has(match.value)) yield `there is no namespace ${shown(match.value)}`;
  }
  for (const { namespace } of [...serviceAccounts.in, ...serviceAccounts.notIn]) {
    if (!known.has(namespace)) yield `there is no namespace ${shown(namespace)}`;
  }
}

// The parts of a pattern that are whole are compared; what a wildcard leaves open may be right.
function wrongWithPrincipal(match: StringMatch, known: ReadonlySet<string>, trustDomain: string): string | undefined {
  // A star within was told of where it was read.
  if (match.kind === 'presence' || match.kind === 'suffix' || match.value.includes('*')) return undefined;
  const [domain = '', ns, namespace, sa, account, ...more] = match.value.split('/');
  const whole = match.kind === 'exact';
  if (whole && (ns !== 'ns' || sa !== 'sa' || account === undefined || more.length > 0))
    return 'a principal has the form TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT';
  if (ns !== undefined && domain !== trustDomain) return foreign(domain, trustDomain);
  if (sa !== undefined && namespace !== undefined && !known.has(namespace))
    return `there is no namespace ${shown(namespace)}`;
  return undefined;
}

function foreign(domain: string, ours: string): string {
  return `${shown(domain)} is not the trust domain of this mesh, which is ${ours}; nobody of another one gets in`;
}

function describe(match: StringMatch): string {
  switch (match.kind) {
    case 'presence':
      return '*';
    case 'exact':
      return shown(match.value);
    case 'prefix':
      return `${shown(match.value)}*`;
    case 'suffix':
      return `*${shown(match.value)}`;
  }
}
