// SPDX-License-Identifier: Apache-2.0

import { randomUUID } from 'node:crypto';
import type { ProcessId } from '../host/process-id.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { QuietLog } from '../model/quiet-log.ts';
import { removeCgroup } from '../node/cgroup.ts';
import type { AddressPool } from './address-pool.ts';
import { ManagedPod, type PodSteps } from './managed-pod.ts';
import type { PodDecision, PodRecord, PodSpec, PodView } from './pod.ts';
import type { PodFiles } from './pod-files.ts';
import { foreignSandbox, planSandbox, type Sandboxes, type SandboxHost } from './sandbox.ts';

// A holder normally ends with its connection, which is noticed at once; this finds the others.
const HOLDER_POLL_MS = 1000;
// By then nearly every pod is gone. Where connections are still drained, whoever ended the pod need not wait for them.
const END_PATIENCE_MS = 500;
const ASKER_GONE = 'who asked for it has gone';
const NO_RANGES =
  'the control plane has not given this node its address ranges; check its connection, or set --pod-cidr';

/** The control plane as the pods see it. */
export interface PodReporter {
  started(pod: PodRecord): void;
  /** What was told of it has changed. */
  changed(pod: PodView): void;
  stopped(uid: string): void;
}

/** Why a pod could not be started, for the one who asked. `conflict`: its name is taken. */
export class PodRefused extends Error {
  override readonly name = 'PodRefused';
  readonly reason: 'conflict' | 'unavailable';

  constructor(reason: 'conflict' | 'unavailable', message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** A sandbox that a container runtime made. */
export interface AdoptedSandbox {
  readonly holder: ProcessId;
  readonly netnsPath: string;
  readonly addresses: readonly string[];
}

export interface PodManagerOptions {
  readonly host: SandboxHost;
  /** Both bounds together limit how long a new pod may take before it is refused. */
  readonly decisionTimeoutMs: number;
  readonly captureTimeoutMs: number;
}

/** Everything the pods of a node need from elsewhere. */
export interface PodManagerParts {
  readonly sandboxes: Sandboxes;
  readonly files: PodFiles;
  readonly steps: PodSteps;
  readonly reporter: PodReporter;
  /** Rejects when that cannot be seen. */
  readonly isAlive: (holder: ProcessId) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  /** Known only once the control plane has given the node its ranges, when they are not configured. */
  readonly pool: Promise<AddressPool>;
  readonly podsChanged: () => void;
}

/**
 * Which pods this node serves.
 *
 * A pod is made on request, lives as long as its holder's process, and is captured or released as the control plane
 * decides. Each pod reconciles on its own (`ManagedPod`); what is here is the set of them and what outlives the agent.
 */
export class PodManager {
  readonly #options: PodManagerOptions;
  readonly #parts: PodManagerParts;
  readonly #pods = new Map<string, ManagedPod>();
  /** Pods that are being made; each is over when it is settled, well or not. */
  readonly #making = new Map<string, Promise<void>>();
  readonly #removals = new Map<string, Promise<void>>();
  readonly counters = { started: 0, refused: 0, removed: 0, steps_failed: 0, taken_over: 0, holders_unseen: 0 };
  /** Never reset: where descriptors are scarce, one look in two fails. */
  readonly #unseen: QuietLog;
  #nextHandle = 1;
  #pollCancel: Cancel = () => {};
  #leaving = false;

  constructor(options: PodManagerOptions, parts: PodManagerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#unseen = new QuietLog(parts.clock);
  }

  /** Takes over the pods of a previous run, as `recoverPods` found them, and looks after them from now on. */
  open(recovered: readonly PodRecord[]): void {
    for (const record of recovered) {
      this.#nextHandle = Math.max(this.#nextHandle, record.handle + 1);
      this.#parts.log.info('pod taken over', { pod: podName(record.spec), captured: record.captured });
      this.counters.taken_over += 1;
      const pod = this.#add(record);
      this.#parts.reporter.started(record);
      pod.resume();
    }
    const reserve = (pool: AddressPool): void => {
      for (const { sandbox } of recovered) if (!sandbox.foreign) pool.reserve(sandbox.addresses);
    };
    // The ranges may be unknown for a while; this is first in line, so nobody gets an address before it.
    void this.#parts.pool.then(reserve);
    this.#poll();
  }

  /**
   * Makes a pod and returns it once it may start: captured, when it belongs to the mesh, and never before.
   *
   * Throws `PodRefused`; then nothing of the pod is left.
   */
  async create(spec: PodSpec, holder: ProcessId, signal: AbortSignal): Promise<PodView> {
    try {
      const pod = await this.#create(spec, holder, signal);
      this.counters.started += 1;
      const view = pod.view();
      for (const notice of view.decision?.notices ?? [])
        this.#parts.log.warn('pod notice', { pod: podName(spec), notice });
      return view;
    } catch (error) {
      this.counters.refused += 1;
      this.#parts.log.warn('pod not started', { pod: podName(spec), error: (error as Error).message });
      throw error;
    }
  }

  async #create(spec: PodSpec, holder: ProcessId, signal: AbortSignal): Promise<ManagedPod> {
    const name = podName(spec);
    await this.#ended(name);
    this.#checkFree(name);
    const pool = await within(this.#parts.pool, this.#parts.clock, this.#options.decisionTimeoutMs, NO_RANGES).catch(
      (error: unknown) => {
        throw refusal(name, error);
      },
    );
    // Somebody else may have taken the name meanwhile; from here to `#add` nothing awaits.
    this.#checkFree(name);
    const addresses = allocate(pool, name);
    const sandbox = planSandbox(this.#options.host, spec.namespace, spec.name, addresses);
    const record: PodRecord = {
      uid: randomUUID(),
      handle: this.#nextHandle++,
      spec,
      sandbox,
      holder,
      startedMs: this.#parts.clock.nowMs(),
      captured: false,
    };
    const pod = this.#add(record);
    const giveUp = (): void => pod.reject(ASKER_GONE);
    signal.addEventListener('abort', giveUp, { once: true });
    const checkWanted = (): void => {
      if (signal.aborted) throw new Error(ASKER_GONE);
      if (this.#removals.has(record.uid)) throw new Error('it was removed');
    };
    try {
      const made = this.#make(record);
      // Nothing may be made behind the back of a removal, so that one waits for this.
      this.#making.set(
        record.uid,
        made.catch(() => {}).finally(() => this.#making.delete(record.uid)),
      );
      await made;
      checkWanted();
      await pod.settled(this.#options.decisionTimeoutMs, this.#options.captureTimeoutMs);
      checkWanted();
      return pod;
    } catch (error) {
      await this.remove(record.uid);
      throw refusal(name, error);
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /**
   * Takes a pod that somebody else made, under its own uid; from here on it is captured and released as is decided, and
   * removed with its holder, like any other. One that is there already stays as it is.
   */
  adopt(uid: string, spec: PodSpec, made: AdoptedSandbox): void {
    if (this.#leaving || this.#pods.has(uid)) return;
    const record: PodRecord = {
      uid,
      handle: this.#nextHandle++,
      spec,
      sandbox: foreignSandbox(made.netnsPath, made.addresses),
      holder: made.holder,
      startedMs: this.#parts.clock.nowMs(),
      captured: false,
    };
    this.#add(record);
    this.counters.started += 1;
    this.#parts.reporter.started(record);
  }

  async #make(record: PodRecord): Promise<void> {
    await this.#parts.sandboxes.open(record.sandbox, record.spec.namespace);
    this.#parts.files.write(record);
    this.#parts.reporter.started(record);
  }

  /**
   * Ends the pod's processes and removes it once its connections are drained; one that is not there is fine. Until then
   * its name and its addresses are taken. Who asks twice waits for the same end.
   */
  async remove(uid: string): Promise<void> {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    let removal = this.#removals.get(uid);
    if (removal === undefined) {
      removal = this.#remove(uid, pod).finally(() => this.#removals.delete(uid));
      this.#removals.set(uid, removal);
    }
    await removal;
  }

  /** The pod's program is told to end: nobody new is sent to it from now on. One that is not there is fine. */
  terminate(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod?.terminate()) this.#parts.reporter.changed(pod.view());
  }

  /** As `remove`, for one who does not want to wait long; `false`: it is still being removed. */
  end(uid: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const cancel = this.#parts.clock.setTimer(END_PATIENCE_MS, () => {
        resolve(false);
        removal.catch((error: unknown) => this.#logNotRemoved(error));
      });
      const removal = this.remove(uid).finally(cancel);
      removal.then(() => resolve(true), reject);
    });
  }

  async #remove(uid: string, pod: ManagedPod): Promise<void> {
    await this.#making.get(uid);
    // Told first, so that others stop dialling it while it is taken apart.
    this.#parts.reporter.stopped(uid);
    const { sandbox } = pod.view();
    // Before the engine lets it go: a process that outlived its capture would talk in plaintext. Those of another's
    // sandbox are its to end.
    if (!sandbox.foreign) await removeCgroup(sandbox.cgroup);
    await pod.stop();
    await this.#parts.sandboxes.close(sandbox);
    await this.#parts.files.remove(uid);
    this.#pods.delete(uid);
    this.counters.removed += 1;
    if (!sandbox.foreign) void this.#parts.pool.then((pool) => pool.release(sandbox.addresses));
    this.#parts.podsChanged();
  }

  /** The pod's holder let go of it: if its process is gone the pod goes, too. One that cannot be seen is looked at again. */
  async checkHolder(uid: string): Promise<void> {
    const pod = this.#pods.get(uid);
    if (pod !== undefined && !(await this.#mayLive(pod.view()))) await this.remove(uid);
  }

  async #mayLive({ spec, holder }: PodView): Promise<boolean> {
    try {
      return await this.#parts.isAlive(holder);
    } catch (error) {
      this.counters.holders_unseen += 1;
      this.#unseen.say((keptBack) =>
        this.#parts.log.warn('cannot see whether the process that holds a pod lives, the pod stays', {
          pod: podName(spec),
          pid: holder.pid,
          error: errorText(error),
          kept_back: keptBack,
        }),
      );
      return true;
    }
  }

  decide(uid: string, decision: PodDecision): void {
    this.#pods.get(uid)?.decide(decision);
  }

  /** The control plane will not have this pod. */
  reject(uid: string, reason: string): void {
    this.#pods.get(uid)?.reject(`the control plane refuses the pod: ${reason}`);
  }

  /** What a pod waits for may have come: its mesh view changed. */
  onMeshChanged(): void {
    for (const pod of this.#pods.values()) pod.onMeshChanged();
  }

  find(uid: string): PodView | undefined {
    return this.#pods.get(uid)?.view();
  }

  list(): readonly PodView[] {
    return [...this.#pods.values()].map((pod) => pod.view());
  }

  /** Those that stay. One that is being removed was told as stopped, and is not to be told as there once more. */
  listStaying(): readonly PodView[] {
    return this.list().filter(({ uid }) => !this.#removals.has(uid));
  }

  /**
   * Stops looking after the pods; they go on, captured as they are, and none is made any more. Resolves when those that
   * were being removed are gone: what is left of one is for the next agent only if this one died.
   */
  async close(): Promise<void> {
    this.#leaving = true;
    this.#pollCancel();
    for (const pod of this.#pods.values()) pod.close();
    await Promise.allSettled(this.#removals.values());
  }

  /** Ends and removes every pod; from then on none is made. */
  async removeAll(): Promise<void> {
    this.#leaving = true;
    const results = await Promise.allSettled([...this.#pods.keys()].map((uid) => this.remove(uid)));
    const reasons = results.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []));
    if (reasons.length > 0)
      throw new Error(`${reasons.length} of ${results.length} not removed: ${reasons.join(', ')}`);
  }

  /** One of that name whose holder has ended may still be drained; it is waited for as long as for a decision. */
  async #ended(name: string): Promise<void> {
    const view = this.list().find(({ spec }) => podName(spec) === name);
    if (view === undefined || !this.#removals.has(view.uid) || this.#making.has(view.uid)) return;
    const late = `pod ${name} was not started: connections of the one before are still drained`;
    await within(this.remove(view.uid), this.#parts.clock, this.#options.decisionTimeoutMs, late).catch(
      (error: unknown) => {
        throw new PodRefused('conflict', errorText(error), { cause: error });
      },
    );
  }

  #checkFree(name: string): void {
    if (this.#leaving) throw new PodRefused('unavailable', `pod ${name} was not started: the agent is stopping`);
    const taken = this.list().some(({ spec }) => podName(spec) === name);
    if (taken) throw new PodRefused('conflict', `pod ${name} already runs on this node`);
  }

  #add(record: PodRecord): ManagedPod {
    const pod = new ManagedPod(record, {
      steps: this.#parts.steps,
      clock: this.#parts.clock,
      log: this.#parts.log,
      nextHandle: () => this.#nextHandle++,
      persist: (changed) => this.#parts.files.write(changed),
      changed: this.#parts.podsChanged,
      stepFailed: () => {
        this.counters.steps_failed += 1;
      },
    });
    this.#pods.set(record.uid, pod);
    this.#parts.podsChanged();
    return pod;
  }

  #logNotRemoved(error: unknown): void {
    this.#parts.log.error('pod not removed', { error: String(error) });
  }

  #poll(): void {
    // One that was under way when the agent began to leave ends here: what is looked after may be gone by now.
    if (this.#leaving) return;
    this.#pollCancel = this.#parts.clock.setTimer(HOLDER_POLL_MS, () => {
      const failed = (error: unknown): void => this.#logNotRemoved(error);
      // Not waited for: a removal lasts as long as the pod's connections are drained, and the others have holders, too.
      for (const { uid } of this.listStaying()) this.checkHolder(uid).catch(failed);
      this.#parts.files
        .retry()
        .catch(failed)
        .finally(() => this.#poll());
    });
  }
}

function refusal(name: string, error: unknown): PodRefused {
  const reason = errorText(error);
  return new PodRefused('unavailable', `pod ${name} was not started: ${reason}`, { cause: error });
}

function allocate(pool: AddressPool, name: string): readonly string[] {
  try {
    return pool.allocate();
  } catch (error) {
    throw refusal(name, error);
  }
}

/** A pod's name for people. */
export function podName(spec: Pick<PodSpec, 'namespace' | 'name'>): string {
  return `${spec.namespace}/${spec.name}`;
}

function within<T>(promise: Promise<T>, clock: Clock, timeoutMs: number, late: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(timeoutMs, () => reject(new Error(late)));
    promise.then(resolve, reject).finally(cancel);
  });
}
