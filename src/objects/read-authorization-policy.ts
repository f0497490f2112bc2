// SPDX-License-Identifier: Apache-2.0

import type { ObjectMeta } from './object-meta.ts';
import type { FieldProblem, ObjectReader } from './object-reader.ts';
import { concernsScope, readSelector } from './read-peer-authentication.ts';
import { type PolicyContext, readCondition, readOperation, readSource } from './read-policy-match.ts';
import type { AuthorizationPolicyObject, PolicyObjectRule, TargetRef } from './security-objects.ts';

const ACTIONS = ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'] as const;
const RULES_MAX = 512;
const TARGET_REFS_MAX = 16;
// The spellings of true of Go's strconv.ParseBool, with which Istio reads the annotation.
const TRUE_WORDS: readonly string[] = ['1', 't', 'T', 'true', 'TRUE', 'True'];

/**
 * Reads an AuthorizationPolicy, strictly: an unknown field, key or pattern rejects the whole policy.
 *
 * Source: istio/api security/v1beta1/authorization_policy.proto @b8f8791, istio pkg/config/validation @86c9f01.
 */
export function readAuthorizationPolicy(object: ObjectReader, meta: ObjectMeta): AuthorizationPolicyObject {
  const spec = object.requiredObject('spec');
  const action = spec.oneOf('action', ACTIONS) ?? 'ALLOW';
  const policy: AuthorizationPolicyObject = {
    kind: 'AuthorizationPolicy',
    meta,
    selector: readSelector(spec),
    targetRefs: readTargetRefs(spec),
    action,
    dryRun: TRUE_WORDS.includes(meta.annotations.get('istio.io/dry-run') ?? ''),
    rules: spec.objects('rules').map((rule) => readRule(rule, { namespace: meta.namespace, action })),
  };
  if (policy.rules.length > RULES_MAX) spec.reject('rules', `at most ${RULES_MAX} rules`);
  if (spec.has('selector') && policy.targetRefs.length > 0) {
    spec.reject('selector', 'only one of targetRefs or selector can be set');
  }
  checkAction(spec, policy);
  return policy;
}

function checkAction(spec: ObjectReader, { action, rules }: AuthorizationPolicyObject): void {
  if (action !== 'CUSTOM') {
    if (spec.has('provider')) spec.reject('provider', 'must not be with non CUSTOM action');
    return;
  }
  const provider = spec.requiredObject('provider');
  provider.requiredString('name');
  if (rules.length === 0)
    spec.reject('rules', 'CUSTOM action without rules is meaningless as it will never be triggered');
}

function readTargetRefs(spec: ObjectReader): TargetRef[] {
  const single = spec.object('targetRef');
  const listed = spec.objects('targetRefs');
  if (listed.length > TARGET_REFS_MAX) spec.reject('targetRefs', `at most ${TARGET_REFS_MAX} targets`);
  if (single !== undefined && listed.length > 0)
    spec.reject('targetRef', 'only one of targetRef and targetRefs can be set');
  return [...(single ? [single] : []), ...listed].map((reader) => {
    return {
      group: reader.string('group') ?? '',
      kind: reader.requiredString('kind'),
      name: reader.requiredString('name'),
    };
  });
}

function readRule(rule: ObjectReader, policy: PolicyContext): PolicyObjectRule {
  for (const key of ['from', 'to', 'when']) {
    if (rule.has(key) && rule.items(key).length === 0) rule.reject(key, 'cannot be empty');
  }
  return {
    sources: rule.objects('from').map((from) => {
      return readSource(from.requiredObject('source'), policy);
    }),
    operations: rule.objects('to').map((to) => {
      return readOperation(to.requiredObject('operation'));
    }),
    conditions: rule.objects('when').map((when) => readCondition(when, policy)),
  };
}

/** What stands for a policy that cannot be understood and has no earlier version: it denies all in its scope. */
export function standInAuthorizationPolicy(
  object: AuthorizationPolicyObject,
  problems: readonly FieldProblem[],
): AuthorizationPolicyObject {
  const scopeUnknown = problems.some(concernsScope);
  return {
    ...object,
    selector: scopeUnknown ? new Map() : object.selector,
    targetRefs: scopeUnknown ? [] : object.targetRefs,
    action: 'DENY',
    rules: [{ sources: [], operations: [], conditions: [] }],
    unreadable: problems[0]?.reason ?? '',
  };
}
