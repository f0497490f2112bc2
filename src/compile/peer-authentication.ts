// SPDX-License-Identifier: Apache-2.0

import { type Authorization, type PolicyClause, type PolicyMatch, policyKey } from '../model/policy.ts';
import { CONVERTED_PREFIX, STATIC_STRICT_NAME } from '../model/policy-origin.ts';
import { type ObjectMeta, objectKey } from '../objects/object-meta.ts';
import type { Notice } from '../objects/problem.ts';
import type { MtlsMode, PeerAuthenticationObject } from '../objects/security-objects.ts';
import { describeScope, EMPTY_MATCH } from './authorization-policy.ts';
import { SelectorIndex } from './selector-index.ts';

const NO_IDENTITY: PolicyMatch = { ...EMPTY_MATCH, notPrincipals: [{ kind: 'presence' }] };

/** One selector policy, turned into what a node enforces. */
interface Converted {
  readonly authorization?: Authorization;
  /** Keys of the policies that the selected workloads name. */
  readonly references: readonly string[];
}

/**
 * Turns PeerAuthentications into DENY policies for those without an identity.
 *
 * Modes: UNSET inherits from namespace, then mesh; nothing is PERMISSIVE; DISABLE refuses nothing either. The effective
 * parent mode is computed once and used for what is sent and for what is referenced, so that the two cannot part
 * (Istio computes it twice, and a namespace policy of mode UNSET then opens every port of a workload).
 * Source: istio pilot/pkg/serviceregistry/ambient/authorization.go convertPeerAuthentication @86c9f01; recorded resources.
 */
export class PeerAuthentications {
  readonly authorizations: Authorization[] = [];
  readonly #rootNamespace: string;
  readonly #mesh: MtlsMode;
  readonly #namespaces = new Map<string, MtlsMode>();
  readonly #selectors = new SelectorIndex<Converted>();

  constructor(objects: readonly PeerAuthenticationObject[], rootNamespace: string, notices: Notice[]) {
    this.#rootNamespace = rootNamespace;
    const ordered = [...objects].sort(strictestReadingFirst);
    for (const { meta, mode, selector } of ordered) {
      if (selector.size > 0) continue;
      if (this.#namespaces.has(meta.namespace)) notices.push(olderWins(meta));
      else this.#namespaces.set(meta.namespace, mode);
    }
    this.#mesh = this.#namespaces.get(rootNamespace) ?? 'UNSET';
    if (ordered.length > 0) this.authorizations.push(policy(rootNamespace, STATIC_STRICT_NAME, [NO_IDENTITY]));
    for (const object of ordered) {
      if (object.unreadable !== undefined) notices.push(unreadable(object, rootNamespace));
      if (object.selector.size > 0) this.#convert(object, notices);
    }
  }

  /** Keys of the policies that stand for the PeerAuthentication of a workload; the oldest that selects it wins. */
  policiesFor(namespace: string, labels: ReadonlyMap<string, string>): readonly string[] {
    const [own] = this.#selectors.find(namespace, labels);
    if (own !== undefined) return own.references;
    return this.#parentIsStrict(namespace) ? [this.#staticKey] : [];
  }

  get #staticKey(): string {
    return `${this.#rootNamespace}/${STATIC_STRICT_NAME}`;
  }

  #parentIsStrict(namespace: string): boolean {
    const own = this.#namespaces.get(namespace) ?? 'UNSET';
    return (own === 'UNSET' ? this.#mesh : own) === 'STRICT';
  }

  #convert(object: PeerAuthenticationObject, notices: Notice[]): void {
    const { meta, selector } = object;
    if (meta.namespace === this.#rootNamespace) {
      notices.push(
        noEffect(meta, 'a selector has no effect in the root namespace; move it to the namespace of the pods'),
      );
      return;
    }
    const converted = this.#convertSelected(object, notices);
    if (converted.authorization) this.authorizations.push(converted.authorization);
    this.#selectors.add(meta.namespace, selector, converted);
  }

  #convertSelected({ meta, mode, portModes }: PeerAuthenticationObject, notices: Notice[]): Converted {
    const inherits = mode === 'UNSET';
    const strict = inherits ? this.#parentIsStrict(meta.namespace) : mode === 'STRICT';
    const ports = [...portModes].sort(([a], [b]) => a - b);
    const name = `${CONVERTED_PREFIX}${meta.name}`;
    const reference = [`${meta.namespace}/${name}`];
    if (!strict) {
      const strictPorts = ports.filter(([, portMode]) => portMode === 'STRICT').map(([port]) => port);
      if (strictPorts.length === 0) return { references: [] };
      const rules = strictPorts.map((port) => [{ ...NO_IDENTITY, destinationPorts: [port] }]);
      return { authorization: policy(meta.namespace, name, ...rules), references: reference };
    }
    const open = ports.filter(([, portMode]) => portMode === 'PERMISSIVE' || portMode === 'DISABLE');
    if (open.length === 0) return { references: [this.#staticKey] };
    const exceptions = open.map(([port]) => ({ ...EMPTY_MATCH, notDestinationPorts: [port] }));
    const clauses = inherits ? [...exceptions, NO_IDENTITY] : [NO_IDENTITY, ...exceptions];
    const authorization = policy(meta.namespace, name, clauses);
    // As in Istio: under an inherited STRICT only PERMISSIVE opens a port. DISABLE alone errs on the closed side.
    if (inherits && !open.some(([, portMode]) => portMode === 'PERMISSIVE')) {
      notices.push(noEffect(meta, 'DISABLE for a port has no effect under an inherited STRICT; write PERMISSIVE'));
      return { authorization, references: [this.#staticKey] };
    }
    return { authorization, references: reference };
  }
}

/** One rule an argument; its matches are one clause each, all of which must hold. */
function policy(namespace: string, name: string, ...rules: readonly (readonly PolicyMatch[])[]): Authorization {
  return {
    name,
    namespace,
    scope: 'WORKLOAD_SELECTOR',
    action: 'DENY',
    dryRun: false,
    rules: rules.map((matches) => ({ clauses: matches.map((match): PolicyClause => ({ matches: [match] })) })),
  };
}

function strictestReadingFirst(a: PeerAuthenticationObject, b: PeerAuthenticationObject): number {
  const unreadableFirst = Number(b.unreadable !== undefined) - Number(a.unreadable !== undefined);
  return unreadableFirst || a.meta.createdMs - b.meta.createdMs || (policyKey(a.meta) < policyKey(b.meta) ? -1 : 1);
}

function olderWins(meta: ObjectMeta): Notice {
  return noEffect(meta, 'an older PeerAuthentication of the same scope wins; remove one of them');
}

function unreadable(object: PeerAuthenticationObject, rootNamespace: string): Notice {
  const message = `cannot be understood and has no earlier version, so it is taken as STRICT: plaintext to ${describeScope(object, rootNamespace)} is refused until it is corrected or removed`;
  return { code: 'POLICY_UNREADABLE', object: objectKey('PeerAuthentication', object.meta), message };
}

function noEffect(meta: ObjectMeta, message: string): Notice {
  return { code: 'NO_EFFECT', object: objectKey('PeerAuthentication', meta), message };
}
