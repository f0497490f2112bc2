// SPDX-License-Identifier: Apache-2.0

// One pod's way through its states. At any time at most one step runs; what arrives meanwhile (a decision, a stop) aborts
// the waits of that step and is looked at when it ends. A step that fails is tried again with growing delays.

import { isDeepStrictEqual } from 'node:util';
import { SettingError } from '../config/setting-error.ts';
import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import type { OldConnections, PodDecision, PodRecord, PodState, PodView } from './pod.ts';

const RETRY = { initialMs: 200, maxMs: 15_000, jitter: 0.2 } as const;

const DEFERRED_NAMES = { dnsCapture: 'dns capture', existingConnections: 'existing connections' } as const;

/** What moves a pod from one state to the next; each may be called again after it failed. */
export interface PodSteps {
  /** First the certificate, then the capture, then the report; `adopted`: the rules are in place since a previous run. */
  capture(pod: PodRecord, decision: PodDecision, adopted: boolean, signal: AbortSignal): Promise<void>;
  /** Waits until nobody dials the pod through the mesh; until then it is captured as before. */
  leave(pod: PodRecord, signal: AbortSignal): Promise<void>;
  /** Releases it; once begun this cannot be taken back, only finished. */
  release(pod: PodRecord): Promise<void>;
  /** The pod's program has ended: takes it out of the engine once its connections have, at the latest at the deadline. */
  discard(pod: PodRecord): Promise<void>;
  /** The mesh, as this node sees it, has the pod: until then nothing is decided for it, no name and no connection. */
  isKnown(pod: PodRecord): boolean;
  oldConnections(pod: PodRecord): OldConnections;
  /** Something the steps wait for may have changed. */
  onMeshChanged(): void;
}

export interface ManagedPodParts {
  readonly steps: PodSteps;
  readonly clock: Clock;
  readonly log: Log;
  /** A handle that no pod of the engine has had. */
  readonly nextHandle: () => number;
  /** Throws `SettingError` when the disk does not take it. */
  readonly persist: (record: PodRecord) => void;
  readonly changed: () => void;
  /** A step did not work and will be tried again. */
  readonly stepFailed: () => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class ManagedPod {
  readonly #parts: ManagedPodParts;
  readonly #backoff = new Backoff(RETRY);
  #record: PodRecord;
  /** What is on disk. */
  #written: PodRecord;
  /** What the engine captured the pod with, until it has released it. */
  #inEffect: PodDecision | undefined;
  #state: PodState = { kind: 'starting' };
  #problem: string | undefined;
  #rejected: string | undefined;
  #adopted = false;
  /** The engine was asked to release the pod and has not said that it did. */
  #releaseBegun = false;
  #stopping = false;
  #step: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  #retryCancel: Cancel = () => {};
  readonly #waiters = new Set<Waiter>();

  constructor(record: PodRecord, parts: ManagedPodParts) {
    this.#record = record;
    this.#written = record;
    this.#parts = parts;
  }

  /** The pod's program is told to end. False when that was said before, or the pod is stopped. */
  terminate(): boolean {
    if (this.#stopping || this.#record.terminating) return false;
    this.#record = { ...this.#record, terminating: true };
    this.#reconcile();
    return true;
  }

  view(): PodView {
    const problem = this.#rejected ?? this.#problem;
    return {
      ...this.#record,
      state: this.#state,
      inMesh: this.#adopted || this.#inEffect !== undefined,
      oldConnections: this.#parts.steps.oldConnections(this.#record),
      ...(problem === undefined ? {} : { problem }),
      deferred: this.#deferred(),
    };
  }

  decide(decision: PodDecision): void {
    if (this.#stopping) return;
    const before = this.#record.decision;
    this.#rejected = undefined;
    this.#record = { ...this.#record, decision };
    if (before?.capture !== decision.capture) this.#step?.abort.abort(new Error('the control plane decided anew'));
    this.#backoff.reset();
    // How the pod's neighbours reach it follows the decision at once; what else it says may have to wait for a step.
    this.#parts.changed();
    this.#reconcile();
  }

  /** It will not become a pod of the mesh, for that reason. */
  reject(reason: string): void {
    this.#rejected = reason;
    this.#settle();
    this.#parts.changed();
  }

  onMeshChanged(): void {
    if (this.#state.kind === 'releasing') this.#parts.steps.onMeshChanged();
    if (this.#waiters.size > 0) this.#settle();
  }

  /** Goes on where the previous run stood. */
  resume(): void {
    this.#adopted = this.#record.captured;
    this.#reconcile();
  }

  /** Resolves when the pod may start: captured and known to the mesh, or to stay outside. Rejects when that takes too long. */
  async settled(decisionTimeoutMs: number, captureTimeoutMs: number): Promise<void> {
    let cancel: Cancel = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiters.add({ resolve, reject });
        cancel = this.#parts.clock.setTimer(decisionTimeoutMs, () => {
          if (this.#record.decision === undefined) {
            reject(
              new Error(
                `the control plane did not say within ${decisionTimeoutMs} ms whether it belongs to the mesh; check its connection with \`groundwire status\``,
              ),
            );
            return;
          }
          cancel = this.#parts.clock.setTimer(captureTimeoutMs, () => reject(this.#lateError(captureTimeoutMs)));
        });
        this.#settle();
      });
    } finally {
      cancel();
    }
  }

  #lateError(timeoutMs: number): Error {
    if (this.#state.kind === 'captured')
      return new Error(
        `the control plane did not tell this node of it within ${timeoutMs} ms, and until then no name resolves in it; check discovery with \`groundwire status\``,
      );
    const detail = this.#problem === undefined ? '' : ` (${this.#problem})`;
    return new Error(`it could not be captured within ${timeoutMs} ms${detail}`);
  }

  /** Aborts what runs and takes the pod out of the engine. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.close();
    await this.#step?.done;
    if (this.#state.kind === 'stopped') return;
    this.#setState({ kind: 'stopped' });
    this.#refuse(new Error('the pod was stopped'));
    await this.#parts.steps.discard(this.#record).catch((error: unknown) => {
      // Its namespace goes next, and the engine notices that on its own.
      this.#parts.log.warn('pod not released by the engine', { ...this.#fields(), error: String(error) });
    });
  }

  /** No step is begun any more. */
  close(): void {
    this.#stopping = true;
    this.#retryCancel();
    this.#step?.abort.abort(new Error('the pod is stopping'));
  }

  #reconcile(): void {
    this.#retryCancel();
    if (this.#stopping || this.#step !== undefined) return;
    const step = this.#nextStep();
    if (step === undefined) return;
    const abort = new AbortController();
    const done = step(abort.signal).then(
      () => {
        this.#problem = undefined;
        this.#backoff.reset();
        return 0;
      },
      (error: unknown) => this.#failed(error, abort.signal.aborted),
    );
    this.#step = {
      abort,
      done: done.then((delayMs) => {
        this.#step = undefined;
        this.#settle();
        this.#parts.changed();
        if (delayMs === 0) this.#reconcile();
        else if (!this.#stopping) this.#retryCancel = this.#parts.clock.setTimer(delayMs, () => this.#reconcile());
      }),
    };
  }

  /** What would bring the pod to where it should be; `undefined` when it is there. */
  #nextStep(): ((signal: AbortSignal) => Promise<void>) | undefined {
    const { decision } = this.#record;
    if (decision === undefined) return undefined;
    // Whatever is decided meanwhile: under this handle the engine does not capture the pod again.
    if (this.#releaseBegun) return (signal) => this.#release(decision, signal);
    if (decision.capture && this.#state.kind !== 'captured') return (signal) => this.#capture(decision, signal);
    if (!decision.capture && this.#record.captured) return (signal) => this.#release(decision, signal);
    if (!decision.capture && this.#state.kind !== 'uncaptured') return () => this.#leaveUncaptured(decision);
    return isDeepStrictEqual(this.#written, this.#record)
      ? undefined
      : async () => this.#persist(this.#record.captured);
  }

  /** What was decided since the capture and can only be had with another one. */
  #deferred(): readonly string[] {
    const [now, wanted] = [this.#inEffect, this.#record.decision];
    if (now === undefined || wanted === undefined || !wanted.capture || this.#state.kind !== 'captured') return [];
    return (['dnsCapture', 'existingConnections'] as const)
      .filter((name) => now[name] !== wanted[name])
      .map((name) => `${DEFERRED_NAMES[name]} ${String(wanted[name])} takes effect at the next capture`);
  }

  async #capture(decision: PodDecision, signal: AbortSignal): Promise<void> {
    this.#setState({ kind: 'capturing' });
    // Written first: after a crash in between, the next agent must know that rules may be there.
    this.#persist(true);
    await this.#parts.steps.capture(this.#record, decision, this.#adopted, signal);
    this.#adopted = false;
    this.#inEffect = decision;
    this.#setState({ kind: 'captured', sinceMs: this.#parts.clock.nowMs() });
    this.#parts.log.info('pod captured', { ...this.#fields(), reason: decision.reason });
  }

  async #release(decision: PodDecision, signal: AbortSignal): Promise<void> {
    if (!this.#releaseBegun) await this.#leave(decision, signal);
    this.#releaseBegun = true;
    await this.#parts.steps.release(this.#record);
    this.#releaseBegun = false;
    this.#inEffect = undefined;
    this.#record = { ...this.#record, handle: this.#parts.nextHandle() };
    this.#persist(false);
    this.#setState({ kind: 'uncaptured', reason: decision.reason });
    this.#parts.log.info('pod released', { ...this.#fields(), reason: decision.reason });
  }

  async #leave(decision: PodDecision, signal: AbortSignal): Promise<void> {
    const sinceMs = this.#state.kind === 'captured' ? this.#state.sinceMs : this.#parts.clock.nowMs();
    this.#setState({ kind: 'releasing' });
    if (this.#adopted) {
      // After a restart the engine does not hold the pod yet: it must take over the rules to be able to remove them.
      await this.#parts.steps.capture(this.#record, decision, true, signal);
      this.#adopted = false;
      this.#inEffect = decision;
    }
    try {
      await this.#parts.steps.leave(this.#record, signal);
    } catch (error) {
      // Rules that may be there are no capture: it may have failed, or still wait for its certificate.
      if (this.#inEffect !== undefined) this.#setState({ kind: 'captured', sinceMs });
      throw error;
    }
  }

  async #leaveUncaptured(decision: PodDecision): Promise<void> {
    this.#setState({ kind: 'uncaptured', reason: decision.reason });
    this.#persist(false);
  }

  #failed(error: unknown, aborted: boolean): number {
    if (aborted) return 0;
    this.#problem = errorText(error);
    this.#parts.stepFailed();
    // What somebody has to mend first is not waited for.
    if (error instanceof SettingError) this.#refuse(error);
    const delayMs = this.#backoff.next();
    this.#parts.log.warn('pod step failed', {
      ...this.#fields(),
      state: this.#state.kind,
      error: this.#problem,
      retry_ms: Math.round(delayMs),
    });
    return Math.max(1, delayMs);
  }

  #persist(captured: boolean): void {
    this.#record = { ...this.#record, captured };
    const record = this.#record;
    if (this.#stopping) return;
    this.#parts.persist(record);
    this.#written = record;
  }

  #setState(state: PodState): void {
    this.#state = state;
    this.#parts.changed();
  }

  #settle(): void {
    if (this.#rejected !== undefined) return this.#refuse(new Error(this.#rejected));
    const { kind } = this.#state;
    const maySettle = kind === 'uncaptured' || (kind === 'captured' && this.#parts.steps.isKnown(this.#record));
    if (!maySettle) return;
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
  }

  #refuse(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }

  #fields(): Readonly<Record<string, string>> {
    return { pod: `${this.#record.spec.namespace}/${this.#record.spec.name}`, uid: this.#record.uid };
  }
}
