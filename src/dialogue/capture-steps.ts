// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '../model/clock.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { Workload } from '../model/workload.ts';
import type { PodSteps } from '../pods/managed-pod.ts';
import { type OldConnections, type PodDecision, type PodRecord, podIdentity } from '../pods/pod.ts';
import type { EngineIdentities } from './engine-identities.ts';
import type { PodCaptures } from './pod-captures.ts';

export interface CaptureStepsOptions {
  readonly drainDeadlineMs: number;
  readonly releaseGraceMs: number;
  readonly releaseWaitMs: number;
}

/** What the steps need of the rest of the agent. */
export interface CaptureStepsParts {
  readonly captures: PodCaptures;
  /** Keeps a certificate for each identity that a pod of ours has. */
  readonly certificates: {
    require(identity: SpiffeId, podUid: string): void;
    release(identity: SpiffeId, podUid: string): void;
  };
  readonly identities: Pick<EngineIdentities, 'loaded'>;
  readonly clock: Clock;
  /** Known once the control plane, or the configuration, has named it. */
  readonly trustDomain: () => string;
  readonly reportCaptured: (uid: string, captured: boolean) => void;
  /** The pod is to leave: where nobody else decided so, the control plane hears it from here. */
  readonly reportLeaving: (uid: string) => void;
  /** The pod as the mesh, seen from this node, has it; `undefined` when it does not know it. */
  readonly findWorkload: (pod: PodRecord) => Pick<Workload, 'addresses' | 'tunnelProtocol'> | undefined;
}

/**
 * The order in which a pod enters and leaves the mesh.
 *
 * Entering: certificate → capture → report, so that nobody is told to use HBONE before it is served. Leaving: the control
 * plane has withdrawn HBONE → our own view shows it → a grace for the other nodes' views → release.
 */
export class CaptureSteps implements PodSteps {
  readonly #options: CaptureStepsOptions;
  readonly #parts: CaptureStepsParts;
  readonly #meshListeners = new Set<() => void>();

  constructor(options: CaptureStepsOptions, parts: CaptureStepsParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async capture(pod: PodRecord, decision: PodDecision, adopted: boolean, signal: AbortSignal): Promise<void> {
    const identity = podIdentity(this.#parts.trustDomain(), pod.spec);
    this.#parts.certificates.require(identity, pod.uid);
    // A pod whose rules are already in place is served at once: without a listener it has no network at all, and what
    // needs no certificate works already.
    if (!adopted) await this.#parts.identities.loaded(identity, signal);
    await this.#parts.captures.capture(pod, identity, decision);
    this.#parts.reportCaptured(pod.uid, true);
  }

  async leave(pod: PodRecord, signal: AbortSignal): Promise<void> {
    this.#parts.reportLeaving(pod.uid);
    await this.#notDialled(pod, signal);
    await this.#delay(this.#options.releaseGraceMs, signal);
  }

  async release(pod: PodRecord): Promise<void> {
    await this.#parts.captures.release(pod, this.#options.drainDeadlineMs);
    this.#parts.reportCaptured(pod.uid, false);
    this.#parts.certificates.release(podIdentity(this.#parts.trustDomain(), pod.spec), pod.uid);
  }

  async discard(pod: PodRecord): Promise<void> {
    try {
      // What its program sent before it ended is still on its way: to a pod of this node, in the engine's hands.
      await this.#parts.captures.release(pod, this.#options.drainDeadlineMs);
    } finally {
      // The pod is gone whatever the engine says; nobody comes back for its certificate.
      this.#parts.certificates.release(podIdentity(this.#parts.trustDomain(), pod.spec), pod.uid);
    }
  }

  isKnown(pod: PodRecord): boolean {
    // One of that name that is gone may be there still, under the address it had.
    const known = this.#parts.findWorkload(pod)?.addresses ?? [];
    return pod.sandbox.addresses.every((address) => known.includes(address));
  }

  oldConnections(pod: PodRecord): OldConnections {
    return this.#parts.captures.oldConnections(pod.handle);
  }

  onMeshChanged(): void {
    for (const listener of this.#meshListeners) listener();
  }

  /** Waits until the mesh reaches the pod in plaintext; after `releaseWaitMs` it goes on, since the label is gone. */
  async #notDialled(pod: PodRecord, signal: AbortSignal): Promise<void> {
    const isDialled = (): boolean => this.#parts.findWorkload(pod)?.tunnelProtocol === 'HBONE';
    if (!isDialled()) return;
    const seen = new AbortController();
    const listener = (): void => {
      if (!isDialled()) seen.abort();
    };
    this.#meshListeners.add(listener);
    try {
      await this.#delay(this.#options.releaseWaitMs, AbortSignal.any([signal, seen.signal]));
    } catch (error) {
      if (signal.aborted) throw error;
    } finally {
      this.#meshListeners.delete(listener);
    }
  }

  async #delay(delayMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = this.#parts.clock.setTimer(delayMs, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
