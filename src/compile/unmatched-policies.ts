// SPDX-License-Identifier: Apache-2.0

import type { StringMatch } from '../model/policy.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { MeshObject } from '../objects/objects.ts';
import { type Notice, shown } from '../objects/problem.ts';
import type { AuthorizationPolicyObject, PeerAuthenticationObject, SourceMatch } from '../objects/security-objects.ts';
import { SelectorIndex } from './selector-index.ts';
import type { CompileSettings } from './settings.ts';

type SecurityObject = AuthorizationPolicyObject | PeerAuthenticationObject;

/**
 * Tells of policies that are valid and yet concern nobody: a slip in a name leaves open what was to be closed.
 *
 * What is told: a DENY without rules, a selector or namespace that no workload has, and a source that nobody can prove
 * to be. A pod that is not there yet counts as nobody: the notice goes when it comes.
 */
export function noteUnmatchedPolicies(objects: ObjectSnapshot, settings: CompileSettings, notices: Notice[]): void {
  const { rootNamespace } = settings;
  const people = findLabelled(objects);
  const namespaces = new Set([
    ...objects.of('Namespace').map(({ meta }) => meta.name),
    ...people.map(({ namespace }) => namespace),
  ]);
  const policies: SecurityObject[] = [...objects.of('AuthorizationPolicy'), ...objects.of('PeerAuthentication')];
  const selecting = new SelectorIndex<SecurityObject>();
  for (const policy of policies) {
    const { namespace } = policy.meta;
    selecting.add(namespace === rootNamespace ? '' : namespace, policy.selector, policy);
  }
  const matched = new Set(people.flatMap(({ namespace, labels }) => selecting.find(namespace, labels)));
  const note = (policy: SecurityObject, field: string, message: string): void => {
    const text = `${field}: ${message} (${objects.placeOf(policy)})`;
    notices.push({ code: 'MATCHES_NOBODY', object: objectKey(policy.kind, policy.meta), message: text });
  };
  for (const policy of policies) {
    const { namespace } = policy.meta;
    if (namespace !== rootNamespace && !namespaces.has(namespace))
      note(policy, 'metadata.namespace', `there is no namespace ${namespace}: nothing enforces this policy`);
    else if (policy.selector.size > 0 && !matched.has(policy))
      note(policy, 'spec.selector', `no workload has these labels: nothing enforces this policy`);
    if (policy.kind === 'AuthorizationPolicy' && policy.unreadable === undefined)
      for (const [field, message] of wrongWithRules(policy, namespaces, settings)) note(policy, field, message);
  }
}

interface Labelled {
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
}

function findLabelled(objects: ObjectSnapshot): Labelled[] {
  const of = ({ meta }: MeshObject, labels = meta.labels): Labelled => ({ namespace: meta.namespace, labels });
  return [
    ...objects.of('Pod').map((pod) => of(pod)),
    ...objects.of('WorkloadEntry').map((entry) => of(entry, new Map([...entry.meta.labels, ...entry.machine.labels]))),
    ...objects.of('ServiceEntry').flatMap((entry) => entry.endpoints.map(({ labels }) => of(entry, labels))),
  ];
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
