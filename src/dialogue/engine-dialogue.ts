// SPDX-License-Identifier: Apache-2.0

// The conversation with the engine:
//   questions about connections → Decider → answers
//   DNS queries → resolveName → answers, or "forward it"
//   a change of the mesh or of our pods → answers that no longer hold → VerdictRecall; labels of peers → SetPeers
// Everything is decided in the turn in which it arrives; only waiting questions have a timer.

import type { EnginePort } from '../engine/port.ts';
import type { Decider, Decisions } from '../mesh/decider.ts';
import type { FlowLabels } from '../mesh/flow-labels.ts';
import { peerLabelsFor } from '../mesh/peer-labels.ts';
import type { Question } from '../mesh/question.ts';
import { resolveName } from '../mesh/resolve-name.ts';
import { type DependencyKey, type MeshView, NETWORK } from '../mesh/view.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import type { Answer, Command, DnsAnswer, DnsOutcome, DnsQuery, EngineEvent } from '../model/messages.gen.ts';
import { QuietLog } from '../model/quiet-log.ts';
import type { Workload } from '../model/workload.ts';
import type { LocalPodDirectory } from '../pods/pod-directory.ts';
import type { NameDesk } from './name-desk.ts';
import { VerdictRecall } from './verdict-recall.ts';

/** What only passes by and is counted elsewhere. */
export interface DialogueCounts {
  countDecision(direction: 'outbound' | 'inbound', code: number): void;
  countDryRunMatches(matches: number): void;
  /** Returns the label by which the engine counts what becomes of a forwarded query. */
  countDns(
    client: Workload | undefined,
    query: Pick<DnsQuery, 'transport' | 'message'>,
    outcome: 'answer' | 'forward' | 'drop',
  ): number;
}

export interface EngineDialogueParts {
  readonly engine: Pick<EnginePort, 'apply' | 'answer'>;
  readonly decider: Decider;
  readonly view: MeshView;
  readonly directory: LocalPodDirectory;
  readonly labels: FlowLabels;
  readonly counts: DialogueCounts;
  readonly clock: Clock;
  readonly log: Log;
  readonly clusterDomain: string;
  /** Nobody but the mesh knows names below the cluster's domain. */
  readonly ownsClusterDomain: boolean;
  /** Resolves names outside the mesh that names of the mesh lead to. */
  readonly names: Pick<NameDesk, 'ask'>;
  readonly random: () => number;
}

export class EngineDialogue {
  /** Takes back what no longer holds. */
  readonly recall: VerdictRecall;
  readonly #parts: EngineDialogueParts;
  readonly #dryRuns: QuietLog;
  #expiry: { readonly atMs: number; readonly cancel: Cancel } | undefined;
  #closed = false;

  constructor(parts: EngineDialogueParts) {
    this.#parts = parts;
    this.recall = new VerdictRecall(parts.engine, parts.clock, parts.log);
    this.#dryRuns = new QuietLog(parts.clock);
  }

  onEvents(events: readonly EngineEvent[]): void {
    const questions = events.filter(
      (event): event is Question & EngineEvent => event.kind === 'OutboundQuestion' || event.kind === 'InboundQuestion',
    );
    if (questions.length > 0) this.#send(this.#parts.decider.decide(questions));
    const answers = events.flatMap((event) => (event.kind === 'DnsQuery' ? this.#resolve(event) : []));
    if (answers.length > 0) this.#answer(answers);
  }

  /** The mesh, or which of its pods are ours, is not what it was. */
  onChange(keys: ReadonlySet<DependencyKey>): void {
    if (keys.size === 0) return;
    this.#send(this.#parts.decider.applyChange(keys));
    const peers = peerLabelsFor(this.#parts.view, NETWORK, keys, this.#parts.labels);
    if (peers.length > 0) this.#apply({ kind: 'SetPeers', peers });
  }

  close(): void {
    this.#closed = true;
    this.#expiry?.cancel();
    this.recall.close();
  }

  #resolve(query: DnsQuery): readonly DnsAnswer[] {
    const { view, directory, counts, clusterDomain, ownsClusterDomain, random } = this.#parts;
    const uid = directory.findWorkloadUid(query.pod);
    const client = uid === undefined ? undefined : view.findWorkload(uid);
    const answer = (outcome: DnsOutcome): DnsAnswer[] => [{ kind: 'DnsAnswer', query: query.query, outcome }];
    if (client === undefined) {
      // Names of the mesh are seen from a namespace; who is not known yet is served as if it were not captured.
      return answer({ kind: 'DnsForward', label: counts.countDns(undefined, query, 'forward') });
    }
    const decision = resolveName(view, client, query.message, {
      clusterDomain,
      ownsClusterDomain,
      transport: query.transport,
      random,
    });
    const label = counts.countDns(client, query, decision.kind === 'follow' ? 'answer' : decision.kind);
    switch (decision.kind) {
      case 'answer':
        return answer({ kind: 'DnsReply', message: decision.message });
      case 'forward':
        return answer({ kind: 'DnsForward', label });
      case 'follow':
        void this.#parts.names.ask(decision.hostname).then((resolved) => {
          const ttlSeconds = resolved.kind === 'found' ? resolved.ttlSeconds : 0;
          this.#answer(answer({ kind: 'DnsReply', message: decision.compose(resolved, ttlSeconds) }));
        });
        return [];
      case 'drop':
        return [];
    }
  }

  #send(decisions: Decisions): void {
    for (const answer of decisions.answers) {
      this.#parts.counts.countDecision(answer.kind === 'OutboundAnswer' ? 'outbound' : 'inbound', answer.code);
    }
    if (decisions.answers.length > 0) this.#answer(decisions.answers);
    this.recall.recall(decisions.invalidated);
    this.#noteDryRuns(decisions.dryRunMatches);
    this.#armExpiry();
  }

  #noteDryRuns(policies: readonly string[]): void {
    if (policies.length === 0) return;
    this.#parts.counts.countDryRunMatches(policies.length);
    this.#dryRuns.say((unsaid) => {
      this.#parts.log.info('dry-run policy would have decided', { policy: policies[0], unsaid });
    });
  }

  #armExpiry(): void {
    const atMs = this.#parts.decider.nextDeadlineMs;
    if (this.#closed || atMs === this.#expiry?.atMs) return;
    this.#expiry?.cancel();
    this.#expiry = undefined;
    if (atMs === undefined) return;
    const cancel = this.#parts.clock.setTimer(atMs - this.#parts.clock.nowMs(), () => {
      this.#expiry = undefined;
      this.#send(this.#parts.decider.expirePending());
    });
    this.#expiry = { atMs, cancel };
  }

  #answer(answers: readonly Answer[]): void {
    if (!this.#closed) this.#parts.engine.answer(answers);
  }

  #apply(command: Command): void {
    if (this.#closed) return;
    this.#parts.engine.apply([command]).catch((error: unknown) => {
      this.#parts.log.error('engine did not take a command', { command: command.kind, error: String(error) });
    });
  }
}
