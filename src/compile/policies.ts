// SPDX-License-Identifier: Apache-2.0

import { type Authorization, policyKey } from '../model/policy.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { Notice } from '../objects/problem.ts';
import { compileAuthorizationPolicy } from './authorization-policy.ts';
import { PeerAuthentications } from './peer-authentication.ts';
import { SelectorIndex } from './selector-index.ts';

/** Every policy that nodes enforce, and which of them a set of labels names. */
export interface CompiledPolicies {
  readonly authorizations: Map<string, Authorization>;
  /** Keys of the policies with a selector, AuthorizationPolicies first. Others apply by their scope and are not named. */
  readonly findPolicies: (namespace: string, labels: ReadonlyMap<string, string>) => readonly string[];
}

/** Compiles AuthorizationPolicies and PeerAuthentications. A policy with a selector in the root namespace selects in all. */
export function compilePolicies(objects: ObjectSnapshot, rootNamespace: string, notices: Notice[]): CompiledPolicies {
  const authorizations = new Map<string, Authorization>();
  const selectors = new SelectorIndex<string>();
  for (const object of objects.of('AuthorizationPolicy')) {
    const authorization = compileAuthorizationPolicy(object, rootNamespace, notices);
    if (authorization === undefined) continue;
    const key = policyKey(authorization);
    authorizations.set(key, authorization);
    selectors.add(object.meta.namespace === rootNamespace ? '' : object.meta.namespace, object.selector, key);
  }
  const peers = new PeerAuthentications(objects.of('PeerAuthentication'), rootNamespace, notices);
  for (const authorization of peers.authorizations) authorizations.set(policyKey(authorization), authorization);
  return {
    authorizations,
    findPolicies: (namespace, labels) => [
      ...selectors.find(namespace, labels),
      ...peers.policiesFor(namespace, labels),
    ],
  };
}
