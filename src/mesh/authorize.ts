// SPDX-License-Identifier: Apache-2.0

import { addressBytes, sharePrefix } from '../model/address.ts';
import type { SpiffeId } from '../model/identity.ts';
import { formatPrincipal } from '../model/identity.ts';
import type {
  AddressRange,
  Authorization,
  PolicyClause,
  PolicyMatch,
  PolicyRule,
  ServiceAccountMatch,
  StringMatch,
} from '../model/policy.ts';
import { policyKey } from '../model/policy.ts';
import type { Allowance, Refusal } from '../model/route.ts';
import type { Workload } from '../model/workload.ts';
import type { DependencyKey, MeshView } from './view.ts';
import { dependency } from './view.ts';

/** One connection as policy sees it. Addresses are canonical; the port is the application's, never the Service's. */
export interface InboundConnection {
  readonly destination: Workload;
  /** Absent when the connection did not prove who it is. */
  readonly identity?: SpiffeId;
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly destinationPort: number;
}

/** A field of the connection that a rule looked at. */
export type AuthorizationField = 'identity' | 'sourceAddress' | 'destinationAddress' | 'destinationPort';

export interface AuthorizationDecision {
  readonly outcome: Allowance | Refusal;
  /** Two connections to one workload that are alike in these get the same outcome. */
  readonly consulted: ReadonlySet<AuthorizationField>;
  readonly dependencies: ReadonlySet<DependencyKey>;
  /** Dry-run policies that matched before the decision fell: reported, never enforced. */
  readonly dryRunMatches: readonly string[];
}

/** What became of one clause of a rule. */
export interface ClauseTrace {
  readonly rule: number;
  readonly clause: number;
  readonly matched: boolean;
}

/** What became of one policy, and of each clause that was looked at. */
export interface PolicyTrace {
  readonly policy: string;
  readonly action: Authorization['action'];
  readonly dryRun: boolean;
  readonly received: boolean;
  readonly matched: boolean;
  readonly clauses: readonly ClauseTrace[];
}

export interface AuthorizationExplanation extends AuthorizationDecision {
  readonly policies: readonly PolicyTrace[];
}

/**
 * Decides whether a connection may reach a workload.
 *
 * Candidates: policies of the workload's namespace, global ones and those that the workload names. A named policy that
 * has not been received denies, and so does one of theirs that was rejected (POLICY_UNKNOWN). Any DENY that matches denies; then, when ALLOW policies apply, one has
 * to match. Dry-run policies are evaluated and reported only.
 *
 * Shape: pure, no await. A field counts as consulted when it is read, and each read is determined by the fields read
 * before it: so two connections alike in the consulted fields take the same way through the rules.
 * Limits: O(matches of the candidate policies).
 * Source: ztunnel src/state.rs assert_rbac, src/rbac.rs; stricter on unknown policies.
 */
export function authorize(view: MeshView, connection: InboundConnection): AuthorizationDecision {
  return decide(view, connection, undefined);
}

/** As `authorize`, by the same evaluator, and goes on after the decision so as to list what every policy says. */
export function explainAuthorization(view: MeshView, connection: InboundConnection): AuthorizationExplanation {
  const policies: PolicyTrace[] = [];
  return { ...decide(view, connection, policies), policies };
}

function decide(
  view: MeshView,
  connection: InboundConnection,
  trace: PolicyTrace[] | undefined,
): AuthorizationDecision {
  const { destination } = connection;
  const dependencies = new Set([
    dependency.workload(destination.uid),
    dependency.policies(destination.namespace),
    dependency.policies(''),
  ]);
  const candidates = [...view.policiesOfNamespace(destination.namespace), ...view.policiesOfNamespace('')];
  let outcome: Allowance | Refusal | undefined;
  for (const key of destination.authorizationPolicies) {
    dependencies.add(dependency.policy(key));
    const policy = view.findPolicy(key);
    if (policy) {
      // A workload may name a policy that also applies by its scope.
      if (!candidates.includes(policy)) candidates.push(policy);
      continue;
    }
    outcome ??= { kind: 'refusal', code: 'POLICY_UNKNOWN', policy: key };
    trace?.push({ policy: key, action: 'DENY', dryRun: false, received: false, matched: true, clauses: [] });
  }
  for (const scope of [destination.namespace, '']) {
    for (const key of view.rejectedPoliciesOfNamespace(scope)) {
      outcome ??= { kind: 'refusal', code: 'POLICY_UNKNOWN', policy: key };
      trace?.push({ policy: key, action: 'DENY', dryRun: false, received: false, matched: true, clauses: [] });
    }
  }
  const reader = new ConnectionReader(connection);
  if (outcome) reader.stopRecording();
  const dryRunMatches: string[] = [];
  let allowApplies = false;
  for (const action of ['DENY', 'ALLOW'] as const) {
    for (const policy of candidates) {
      if (policy.action !== action) continue;
      if (outcome && !trace) break;
      if (action === 'ALLOW' && !policy.dryRun) allowApplies = true;
      if (!matchesPolicy(policy, reader, trace) || outcome) continue;
      if (policy.dryRun) {
        dryRunMatches.push(policyKey(policy));
        continue;
      }
      outcome = outcomeOf(policy);
      // What an explanation reads from here on has no part in the decision.
      reader.stopRecording();
    }
  }
  outcome ??= allowApplies ? { kind: 'refusal', code: 'POLICY_NOT_ALLOWED' } : { kind: 'allowance' };
  return { outcome, consulted: reader.consulted, dependencies, dryRunMatches };
}

function outcomeOf(policy: Authorization): Allowance | Refusal {
  if (policy.action === 'ALLOW') return { kind: 'allowance', policy: policyKey(policy) };
  return { kind: 'refusal', code: 'POLICY_DENIED', policy: policyKey(policy) };
}

/** Gives the fields of a connection and remembers which were asked for. */
class ConnectionReader {
  readonly consulted = new Set<AuthorizationField>();
  readonly #connection: InboundConnection;
  #recording = true;
  #sourceBytes: Uint8Array | undefined;
  #destinationBytes: Uint8Array | undefined;
  #principal: string | undefined;

  constructor(connection: InboundConnection) {
    this.#connection = connection;
  }

  stopRecording(): void {
    this.#recording = false;
  }

  get identity(): SpiffeId | undefined {
    this.#note('identity');
    return this.#connection.identity;
  }

  get principal(): string | undefined {
    const { identity } = this;
    if (identity) this.#principal ??= formatPrincipal(identity);
    return this.#principal;
  }

  get sourceAddress(): Uint8Array {
    this.#note('sourceAddress');
    return (this.#sourceBytes ??= addressBytes(this.#connection.sourceAddress));
  }

  get destinationAddress(): Uint8Array {
    this.#note('destinationAddress');
    return (this.#destinationBytes ??= addressBytes(this.#connection.destinationAddress));
  }

  get destinationPort(): number {
    this.#note('destinationPort');
    return this.#connection.destinationPort;
  }

  #note(field: AuthorizationField): void {
    if (this.#recording) this.consulted.add(field);
  }
}

// Rules are ORed; a policy without any never matches, so an ALLOW without rules denies all.
function matchesPolicy(policy: Authorization, reader: ConnectionReader, trace: PolicyTrace[] | undefined): boolean {
  if (!trace) return policy.rules.some((rule) => rule.clauses.every((clause) => matchesClause(clause, reader)));
  const clauses: ClauseTrace[] = [];
  let matched = false;
  for (const [index, rule] of policy.rules.entries()) {
    if (traceRule(rule, index, reader, clauses)) matched = true;
  }
  const { action, dryRun } = policy;
  trace.push({ policy: policyKey(policy), action, dryRun, received: true, matched, clauses });
  return matched;
}

function traceRule(rule: PolicyRule, index: number, reader: ConnectionReader, into: ClauseTrace[]): boolean {
  let matched = true;
  for (const [clause, { matches }] of rule.clauses.entries()) {
    const clauseMatched = matchesClause({ matches }, reader);
    into.push({ rule: index, clause, matched: clauseMatched });
    matched &&= clauseMatched;
  }
  return matched;
}

// Matches are ORed; a clause without any holds, a match without any condition does not.
function matchesClause(clause: PolicyClause, reader: ConnectionReader): boolean {
  return clause.matches.length === 0 || clause.matches.some((match) => matchesAll(match, reader));
}

// Kinds are ANDed. The port comes first and the source address last: the fewer distinct values of the fields read, the
// more connections share one verdict.
function matchesAll(match: PolicyMatch, reader: ConnectionReader): boolean {
  let constrained = false;
  const holds = <T>(values: readonly T[], notValues: readonly T[], test: (value: T) => boolean): boolean => {
    if (values.length > 0 || notValues.length > 0) constrained = true;
    return (values.length === 0 || values.some(test)) && !notValues.some(test);
  };
  return (
    holds(match.destinationPorts, match.notDestinationPorts, (port) => port === reader.destinationPort) &&
    holds(match.namespaces, match.notNamespaces, (text) => matchesText(text, reader.identity?.namespace ?? '')) &&
    holds(match.serviceAccounts, match.notServiceAccounts, (account) => isAccount(account, reader.identity)) &&
    holds(match.principals, match.notPrincipals, (text) => matchesPrincipal(text, reader.principal)) &&
    holds(match.destinationIps, match.notDestinationIps, (range) => isInside(range, reader.destinationAddress)) &&
    holds(match.sourceIps, match.notSourceIps, (range) => isInside(range, reader.sourceAddress)) &&
    constrained
  );
}

function matchesPrincipal(match: StringMatch, principal: string | undefined): boolean {
  return principal !== undefined && matchesText(match, principal);
}

function matchesText(match: StringMatch, text: string): boolean {
  switch (match.kind) {
    case 'exact':
      return text === match.value;
    case 'prefix':
      return text.startsWith(match.value);
    case 'suffix':
      return text.endsWith(match.value);
    case 'presence':
      return text !== '';
  }
}

// The trust domain plays no part: a handshake with another one does not get this far.
function isAccount(account: ServiceAccountMatch, identity: SpiffeId | undefined): boolean {
  return identity?.namespace === account.namespace && identity.serviceAccount === account.serviceAccount;
}

const rangeBytes = new WeakMap<AddressRange, Uint8Array>();

function isInside(range: AddressRange, address: Uint8Array): boolean {
  let network = rangeBytes.get(range);
  if (!network) rangeBytes.set(range, (network = addressBytes(range.address)));
  return sharePrefix(network, address, range.prefixLength);
}
