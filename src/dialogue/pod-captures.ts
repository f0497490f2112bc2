// SPDX-License-Identifier: Apache-2.0

import type { EnginePort } from '../engine/port.ts';
import type { Clock } from '../model/clock.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { Log } from '../model/log.ts';
import type { EngineEvent, PodFault } from '../model/messages.gen.ts';
import { QuietLogs } from '../model/quiet-logs.ts';
import type { OldConnections, PodDecision, PodRecord } from '../pods/pod.ts';

// Beyond its drain deadline the engine has only kernel calls left to make.
const RELEASE_SLACK_MS = 3000;

const FAULTS: Readonly<Record<PodFault['fault'], string>> = {
  release: 'a pod could not be released; it stays captured and is tried again',
  listOld: 'connections older than the capture of a pod could not be listed; restart it if policy must hold for them',
  closeOld: 'connections older than the capture of a pod could not be closed; no policy holds for them: restart it',
  repaired: 'something that capture needs had been undone and was put back',
  repair: 'something that capture needs is undone and could not be put back; tried again',
};

// For how long one is told of: long enough for somebody who comes after an alarm, or until it is tried again.
const TOLD_MS: Readonly<Record<Undone['fault'], number>> = { repaired: 600_000, repair: 30_000 };
const UNDONE_MAX = 64;

interface Undone {
  readonly fault: 'repaired' | 'repair';
  readonly what: string;
  readonly atMs: number;
}

/** Puts pods into the engine's hands and takes them back. */
export class PodCaptures {
  /** Since the start, in ztunnel's words: a proxy is what serves one captured pod. */
  readonly counters = { started: 0, stopped: 0 };
  readonly #engine: Pick<EnginePort, 'apply'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #faults: QuietLogs;
  // For people; what goes wrong is told before a capture is done, too.
  readonly #names = new Map<number, string>();
  readonly #held = new Set<number>();
  readonly #old = new Map<number, OldConnections>();
  readonly #releases = new Map<number, () => void>();
  // By pod, 0 for what all share; whose was longest ago is first.
  readonly #undone = new Map<number, Undone>();

  constructor(engine: Pick<EnginePort, 'apply'>, clock: Clock, log: Log) {
    this.#engine = engine;
    this.#clock = clock;
    this.#log = log;
    this.#faults = new QuietLogs(clock);
  }

  /** New connections of the pod, both ways, pass through the engine when this resolves. Rejects with `KernelError`. */
  async capture(pod: PodRecord, identity: SpiffeId, decision: PodDecision): Promise<void> {
    this.#names.set(pod.handle, `${pod.spec.namespace}/${pod.spec.name}`);
    try {
      await this.#engine.apply([
        {
          kind: 'CapturePod',
          pod: pod.handle,
          uid: pod.uid,
          netnsPath: pod.sandbox.netnsPath,
          addresses: pod.sandbox.addresses,
          identity: formatSpiffeId(identity),
          existing: decision.existingConnections,
          dns: decision.dnsCapture,
        },
      ]);
    } catch (error) {
      this.#names.delete(pod.handle);
      throw error;
    }
    this.#held.add(pod.handle);
    this.counters.started += 1;
  }

  /** Pods in the engine's hands. */
  get size(): number {
    return this.#held.size;
  }

  /** Ends capture and resolves when no rule of ours is left in the pod's namespace; of a pod not held at once. */
  async release(pod: PodRecord, drainDeadlineMs: number): Promise<void> {
    if (!this.#held.has(pod.handle)) return;
    let cancel = (): void => {};
    const released = new Promise<void>((resolve, reject) => {
      this.#releases.set(pod.handle, resolve);
      const late = (): void =>
        reject(new Error(`the engine did not release the pod within ${drainDeadlineMs + RELEASE_SLACK_MS} ms`));
      cancel = this.#clock.setTimer(drainDeadlineMs + RELEASE_SLACK_MS, late);
    });
    try {
      await Promise.all([this.#engine.apply([{ kind: 'ReleasePod', pod: pod.handle, drainDeadlineMs }]), released]);
    } finally {
      cancel();
      this.#releases.delete(pod.handle);
      this.#old.delete(pod.handle);
    }
  }

  /** The engine's news about pods; everything else is not for here. */
  onEvent(event: EngineEvent): void {
    if (event.kind === 'PodReleased') {
      if (this.#held.delete(event.pod)) this.counters.stopped += 1;
      this.#releases.get(event.pod)?.();
      this.#names.delete(event.pod);
      this.#faults.reset(`release ${event.pod}`);
      this.#undone.delete(event.pod);
    }
    if (event.kind === 'PodFault') this.#onFault(event);
    if (event.kind === 'UncapturedConnections') {
      this.#old.set(event.pod, { connections: event.connections, closed: event.closed });
    }
  }

  /** What somebody has undone of captures of late, in words for `groundwire status`. */
  problems(): readonly string[] {
    const nowMs = this.#clock.nowMs();
    for (const [pod, { fault, atMs }] of this.#undone) if (nowMs - atMs > TOLD_MS[fault]) this.#undone.delete(pod);
    return [...this.#undone].map(([pod, { fault, what, atMs }]) => {
      const whose = pod === 0 ? 'capture' : `capture of ${this.#names.get(pod) ?? pod}`;
      if (fault === 'repair') return `${whose} is undone and could not be put back, tried again: ${what}`;
      return `${whose} was undone from outside the agent and put back ${Math.round((nowMs - atMs) / 1000)} s ago: ${what}`;
    });
  }

  #onFault({ pod, fault, detail }: PodFault): void {
    if (fault === 'repaired' || fault === 'repair') {
      this.#undone.delete(pod);
      this.#undone.set(pod, { fault, what: detail, atMs: this.#clock.nowMs() });
      const [oldest] = this.#undone.keys();
      if (this.#undone.size > UNDONE_MAX && oldest !== undefined) this.#undone.delete(oldest);
    }
    this.#faults.say(`${fault} ${pod}`, (unsaid) =>
      this.#log.warn(FAULTS[fault], { pod: this.#names.get(pod) ?? String(pod), reason: detail, unsaid }),
    );
  }

  oldConnections(handle: number): OldConnections {
    return this.#old.get(handle) ?? { connections: [], closed: false };
  }
}
