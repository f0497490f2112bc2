// SPDX-License-Identifier: Apache-2.0

import type { ErrorCode } from '../model/errors.ts';
import { ERROR_TABLE } from '../model/errors.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { AnswerChoice, InboundQuestion, OutboundQuestion } from '../model/messages.gen.ts';
import type { Route, RouteChoice } from '../model/route.ts';
import { type Service, serviceKey } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { formatBaggage } from './baggage.ts';
import type { ClientAffinity } from './client-affinity.ts';
import { decideInbound } from './decide-inbound.ts';
import type { FlowLabels } from './flow-labels.ts';
import { CONSULTED_ALL, type Question, type Verdict } from './question.ts';
import type { LocalPods } from './resolve-outbound.ts';
import { resolveOutbound } from './resolve-outbound.ts';
import type { VerdictLedger } from './verdicts.ts';
import type { DependencyKey, MeshView } from './view.ts';
import { dependency } from './view.ts';

/** The pods of this node by the handle the engine knows them by. */
export interface PodDirectory extends LocalPods {
  findWorkloadUid(pod: number): string | undefined;
}

export interface DeciderParts {
  readonly view: MeshView;
  readonly pods: PodDirectory;
  readonly labels: FlowLabels;
  readonly ledger: VerdictLedger;
  readonly affinity: Pick<ClientAffinity, 'choose'>;
  /** Has a host name resolved; what comes of it is a change of the mesh. */
  readonly resolveName: (hostname: string) => void;
  readonly nowMs: () => number;
}

export interface DeciderOptions {
  /** How long a question may wait for its own pod to become known to the mesh. ztunnel waits as long. */
  readonly unknownWorkloadWaitMs: number;
  /** Questions that wait at once; a pod may have as many as are left, and beyond it they are refused right away. */
  readonly pendingMax: number;
}

export const DECIDER_DEFAULTS: DeciderOptions = { unknownWorkloadWaitMs: 5_000, pendingMax: 10_000 };

// Enough for the answer to reach the engine, and for its timer to be a little early.
const ANSWER_HEADROOM_MS = 500;

/** The options that fit an engine which waits that long for an answer: a refusal has to come before it gives up itself. */
export function deciderOptions(verdictTimeoutMs: number): DeciderOptions {
  const { unknownWorkloadWaitMs } = DECIDER_DEFAULTS;
  const headroomMs = Math.min(ANSWER_HEADROOM_MS, verdictTimeoutMs / 2);
  return {
    ...DECIDER_DEFAULTS,
    unknownWorkloadWaitMs: Math.min(unknownWorkloadWaitMs, verdictTimeoutMs - headroomMs),
  };
}

/** What is to be told to the engine: the answers first, then the verdicts to forget. */
export interface Decisions {
  readonly answers: readonly Verdict[];
  readonly invalidated: readonly bigint[];
  /** Keys of dry-run policies that would have decided, one entry an answer: to be counted, nothing more. */
  readonly dryRunMatches: readonly string[];
}

interface Pending {
  readonly question: Question;
  /** Whose question it is. */
  readonly workloadUid: string;
  readonly deadlineMs: number;
}

/** Policies remembered for the access log after the verdict that named them. */
const POLICY_NOTES_MAX = 65_536;

/**
 * Turns the engine's questions into answers, and changes of the mesh into answers that no longer hold.
 *
 * A question about a pod that the mesh does not know yet waits, and one whose answer hangs on a host name that is being
 * resolved: `applyChange` answers it when that arrives, `expirePending` refuses it when its time is over. Nothing here awaits; the caller owns timers and the engine.
 */
export class Decider {
  readonly #parts: DeciderParts;
  readonly #options: DeciderOptions;
  // By question id, oldest first.
  readonly #pending = new Map<bigint, Pending>();
  readonly #pendingOfPod = new Map<number, number>();
  readonly #policyNotes = new Map<bigint, string>();
  #answers: Verdict[] = [];
  #invalidated: bigint[] = [];
  #dryRunMatches: string[] = [];

  constructor(parts: DeciderParts, options: DeciderOptions = DECIDER_DEFAULTS) {
    this.#parts = parts;
    this.#options = options;
  }

  decide(questions: Iterable<Question>): Decisions {
    for (const question of questions) this.#decideOrWait(question);
    return this.#take();
  }

  /** Also for changes of pods on this node: pass their `dependency.pod` keys. */
  applyChange(keys: ReadonlySet<DependencyKey>): Decisions {
    this.#invalidated.push(...this.#parts.ledger.invalidate(keys));
    for (const [id, { question, workloadUid }] of this.#pending) {
      const workload = this.#parts.view.findWorkload(workloadUid);
      if (workload && this.#answer(question, workload)) this.#unpend(id, question);
    }
    return this.#take();
  }

  /** Refuses the questions whose time is over. Call it at `nextDeadlineMs`. */
  expirePending(): Decisions {
    for (const [id, { question, workloadUid, deadlineMs }] of this.#pending) {
      if (deadlineMs > this.#parts.nowMs()) break;
      this.#unpend(id, question);
      const workload = this.#parts.view.findWorkload(workloadUid);
      // What it waits for beside that is a name; without it the answer is the refusal that says so.
      if (workload) this.#answer(question, workload, true);
      else this.#refuseUnknown(question, workloadUid);
    }
    return this.#take();
  }

  /** When the oldest waiting question runs out of time; `undefined` when none waits. */
  get nextDeadlineMs(): number | undefined {
    return this.#pending.values().next().value?.deadlineMs;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  get pendingMax(): number {
    return this.#options.pendingMax;
  }

  /** The policy that decided a verdict, for the access log; forgotten after a while. */
  findPolicy(verdict: bigint): string | undefined {
    return this.#policyNotes.get(verdict);
  }

  #decideOrWait(question: Question): void {
    const { pods, view, nowMs } = this.#parts;
    const workloadUid = pods.findWorkloadUid(question.pod);
    // Handles are never used again, so nothing can overturn this one.
    if (workloadUid === undefined) return this.#refuse(question, 'POD_REMOVED', []);
    const workload = view.findWorkload(workloadUid);
    // As many as are free and no more: a pod that takes all it can get leaves half to the others.
    const ofPod = this.#pendingOfPod.get(question.pod) ?? 0;
    const isFull = ofPod >= this.#options.pendingMax - this.#pending.size;
    if (workload && this.#answer(question, workload, isFull)) return;
    if (isFull) return this.#refuseUnknown(question, workloadUid);
    this.#pendingOfPod.set(question.pod, ofPod + 1);
    const deadlineMs = nowMs() + this.#options.unknownWorkloadWaitMs;
    this.#pending.set(question.question, { question, workloadUid, deadlineMs });
  }

  #unpend(id: bigint, { pod }: Question): void {
    this.#pending.delete(id);
    const left = (this.#pendingOfPod.get(pod) ?? 1) - 1;
    if (left === 0) this.#pendingOfPod.delete(pod);
    else this.#pendingOfPod.set(pod, left);
  }

  #refuseUnknown(question: Question, workloadUid: string): void {
    const code = question.kind === 'OutboundQuestion' ? 'UNKNOWN_SOURCE' : 'UNKNOWN_DESTINATION_WORKLOAD';
    this.#refuse(question, code, [dependency.workload(workloadUid), dependency.pod(workloadUid)]);
  }

  /** False: the answer has to wait, unless it is `final`. */
  #answer(question: Question, workload: Workload, final = false): boolean {
    if (question.kind === 'OutboundQuestion') return this.#answerOutbound(question, workload, final);
    this.#answerInbound(question, workload);
    return true;
  }

  #answerOutbound(question: OutboundQuestion, source: Workload, final: boolean): boolean {
    const { view, pods, resolveName } = this.#parts;
    const decision = resolveOutbound(view, pods, source, question.originalDst);
    const { outcome, service, unresolved } = decision;
    for (const hostname of unresolved) resolveName(hostname);
    if (outcome.kind === 'refusal' && unresolved.size > 0 && !final) return false;
    const dependencies = new Set(decision.dependencies);
    const routes = outcome.kind === 'route' ? this.#keepTo(outcome, source, service, dependencies) : [];
    const verdict = this.#record(question.pod, dependencies, undefined);
    const choices = routes.map((choice) => this.#toChoice(choice, source, service));
    this.#answers.push({
      kind: 'OutboundAnswer',
      question: question.question,
      verdict,
      code: outcome.kind === 'route' ? 0 : ERROR_TABLE[outcome.code].number,
      flowLabel: this.#labelOutbound(source, undefined, service, 'unknown'),
      choices,
      baggage: formatBaggage(source),
      serviceHostname: service?.hostname ?? '',
      keptMs: 0,
    });
    return true;
  }

  // A waypoint keeps its clients where it sends them itself.
  #keepTo(
    { choices }: Route,
    source: Workload,
    service: Service | undefined,
    dependencies: Set<DependencyKey>,
  ): readonly RouteChoice[] {
    const seconds = service?.waypoint ? 0 : (service?.extension?.affinityTimeoutSeconds ?? 0);
    if (service === undefined || seconds === 0) return choices;
    const key = serviceKey(service);
    dependencies.add(dependency.affinity(source.uid, key));
    return [this.#parts.affinity.choose(source.uid, key, seconds * 1000, choices)];
  }

  #toChoice(choice: RouteChoice, source: Workload, service: Service | undefined): AnswerChoice {
    const { view, pods } = this.#parts;
    const { kind, weight, nextHop, hboneAuthority, destinationUid } = choice;
    const destination = view.findWorkload(destinationUid);
    return {
      kind,
      weight,
      nextHop,
      hboneAuthority,
      upstreamIdentities: choice.upstreamIdentities.map(formatSpiffeId),
      destinationPod: kind === 'handoff' ? (pods.findCapturedPod(destinationUid)?.handle ?? 0) : 0,
      flowLabel: this.#labelOutbound(source, destination, service, kind === 'hbone' ? 'mutual_tls' : 'unknown'),
    };
  }

  #labelOutbound(
    source: Workload,
    destination: Workload | undefined,
    service: Service | undefined,
    security: 'mutual_tls' | 'unknown',
  ): number {
    return this.#parts.labels.internFlow({
      reporter: 'source',
      security,
      source,
      ...(destination && { destination }),
      ...(service && { service }),
    });
  }

  #answerInbound(question: InboundQuestion, destination: Workload): void {
    const decision = decideInbound(this.#parts.view, destination, question);
    const { outcome, service, identity } = decision;
    this.#dryRunMatches.push(...decision.dryRunMatches);
    this.#answers.push({
      kind: 'InboundAnswer',
      question: question.question,
      verdict: this.#record(question.pod, decision.dependencies, outcome.policy),
      code: outcome.kind === 'allowance' ? 0 : ERROR_TABLE[outcome.code].number,
      consulted: decision.consulted,
      deliverPort: outcome.kind === 'allowance' ? decision.deliverPort : 0,
      flowLabel: this.#parts.labels.internFlow({
        reporter: 'destination',
        security: question.security === 'mutual_tls' ? 'mutual_tls' : 'unknown',
        ...(identity && { sourceIdentity: identity }),
        destination,
        ...(service && { service }),
      }),
      baggage: formatBaggage(destination),
      keptMs: 0,
    });
  }

  #refuse(question: Question, code: ErrorCode, dependencies: Iterable<DependencyKey>): void {
    const head = {
      question: question.question,
      verdict: this.#record(question.pod, dependencies, undefined),
      flowLabel: 0,
      baggage: '',
      keptMs: 0,
    };
    const { number } = ERROR_TABLE[code];
    if (question.kind === 'OutboundQuestion') {
      this.#answers.push({ ...head, kind: 'OutboundAnswer', code: number, choices: [], serviceHostname: '' });
    } else {
      this.#answers.push({ ...head, kind: 'InboundAnswer', code: number, consulted: CONSULTED_ALL, deliverPort: 0 });
    }
  }

  #record(pod: number, dependencies: Iterable<DependencyKey>, policy: string | undefined): bigint {
    const { verdict, evicted } = this.#parts.ledger.record(pod, dependencies);
    if (evicted !== undefined) this.#invalidated.push(evicted);
    if (policy !== undefined) {
      this.#policyNotes.set(verdict, policy);
      const oldest = this.#policyNotes.keys().next().value;
      if (this.#policyNotes.size > POLICY_NOTES_MAX && oldest !== undefined) this.#policyNotes.delete(oldest);
    }
    return verdict;
  }

  #take(): Decisions {
    const decisions = { answers: this.#answers, invalidated: this.#invalidated, dryRunMatches: this.#dryRunMatches };
    this.#answers = [];
    this.#invalidated = [];
    this.#dryRunMatches = [];
    return decisions;
  }
}
