// SPDX-License-Identifier: Apache-2.0

// The pods that Kubernetes runs on this node:
//
//   1. pods of this node and namespaces, followed at the API server
//   2. whether a pod belongs to the mesh: its labels and its namespace's (decideCapture)
//   3. one that does, or that is captured: its sandbox, found by its uid, if that owns the pod's addresses
//   4. adopted by the PodManager, which captures and releases it; the annotation tells the control plane
//
// What is not there yet (an address, a sandbox) is looked for again until it is, or the pod is gone.

import { type CaptureDecision, decideCapture, type EnrolmentSettings } from '../compile/enrolment.ts';
import type { ApiClient } from '../kubernetes/api-client.ts';
import { lean } from '../kubernetes/lean-object.ts';
import { type ApiObject, makeWatchCounters, Reflector } from '../kubernetes/reflector.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import type { MeshKind, NamespaceObject, ObjectOfKind, PodObject } from '../objects/objects.ts';
import { readObjects } from '../objects/read-objects.ts';
import type { PodSpec } from './pod.ts';
import type { PodManager } from './pod-manager.ts';
import { findRuntimeSandboxes, ownsAddresses, type RuntimeSandbox } from './runtime-sandboxes.ts';

const RETRY_MS = 500;
// What comes in one burst is one look at the node's processes.
const GATHER_MS = 20;

export interface KubernetesPodsOptions {
  readonly client: ApiClient;
  readonly node: string;
  readonly settings: EnrolmentSettings;
  readonly pods: Pick<PodManager, 'adopt' | 'decide' | 'remove' | 'find' | 'list'>;
  /** Nothing more is said of that pod. */
  readonly forget: (uid: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  /** Where processes are looked for. Default: /proc. */
  readonly proc?: string;
}

/** Why a pod that belongs to the mesh is not captured yet. */
export type UnenrolledReason = 'no_address' | 'no_sandbox' | 'foreign_address' | 'unreadable';

export interface UnenrolledPod {
  /** `namespace/name`. */
  readonly name: string;
  readonly reason: UnenrolledReason;
}

/** Brings the PodManager what runs on this node according to the API server. */
export class KubernetesPods {
  readonly counters = makeWatchCounters();
  readonly #options: KubernetesPodsOptions;
  readonly #pods = new Map<string, PodObject>();
  readonly #namespaces = new Map<string, NamespaceObject>();
  readonly #unenrolled = new Map<string, UnenrolledPod>();
  readonly #reflectors: readonly Reflector[];
  /** Pods that are to leave the mesh and are still looked after. */
  #leaving = 0;
  #listed = false;
  #cancel: Cancel | undefined;
  #reconciling = false;
  #again = false;
  #closed = false;

  constructor(options: KubernetesPodsOptions) {
    this.#options = options;
    const selector = `fieldSelector=${encodeURIComponent(`spec.nodeName=${options.node}`)}`;
    this.#reflectors = [
      this.#follow('Pod', '/api/v1/pods', this.#pods, uidOf, selector),
      this.#follow('Namespace', '/api/v1/namespaces', this.#namespaces, ({ metadata }) => metadata.name),
    ];
  }

  /** Resolves once everything has been listed; pods are enrolled from then on. */
  async open(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.open()));
    this.#listed = true;
    this.#schedule(0);
  }

  /** Pods that belong to the mesh and are not in it, and why. */
  unenrolled(): readonly UnenrolledPod[] {
    return [...this.#unenrolled.values()];
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    for (const reflector of this.#reflectors) reflector.close();
  }

  #follow<K extends MeshKind>(
    kind: K,
    path: string,
    known: Map<string, ObjectOfKind<K>>,
    keyOf: (object: ApiObject) => string,
    selector?: string,
  ): Reflector {
    const { client, clock, log } = this.#options;
    const take = (object: ApiObject): void => {
      const read = this.#read(kind, object);
      if (read !== undefined) known.set(keyOf(object), read);
    };
    return new Reflector({
      client,
      path,
      ...(selector !== undefined && { selector }),
      counters: this.counters,
      clock,
      log,
      onList: (objects) => {
        known.clear();
        for (const object of objects) take(object);
        this.#schedule(GATHER_MS);
      },
      onChange: (object) => {
        take(object);
        this.#schedule(GATHER_MS);
      },
      onDelete: (object) => {
        known.delete(keyOf(object));
        this.#schedule(GATHER_MS);
      },
    });
  }

  #read<K extends MeshKind>(kind: K, object: ApiObject): ObjectOfKind<K> | undefined {
    const { namespace = '', name } = object.metadata;
    const { objects, problems } = readObjects(`${kind} ${namespace}/${name}`, [lean(kind, object)]);
    const [first] = objects;
    if (first?.object?.kind === kind) return first.object as ObjectOfKind<K>;
    this.#options.log.warn('object of the API server not readable, it is left as it was', {
      kind,
      name: `${namespace}/${name}`,
      reason: problems.map(({ reason }) => reason).join('; '),
    });
    return undefined;
  }

  #schedule(delayMs: number): void {
    if (!this.#listed || this.#closed) return;
    this.#again = true;
    this.#cancel ??= this.#options.clock.setTimer(delayMs, () => {
      this.#cancel = undefined;
      void this.#reconcile();
    });
  }

  /** One at a time; what changes meanwhile is looked at by the next. */
  async #reconcile(): Promise<void> {
    if (this.#reconciling) return;
    this.#reconciling = true;
    this.#again = false;
    try {
      await this.#enrolAll();
    } catch (error) {
      this.#options.log.warn('pods of this node not looked at, they stay as they are', { error: errorText(error) });
      this.#again = true;
    } finally {
      this.#reconciling = false;
    }
    if (this.#again || this.#unenrolled.size > 0 || this.#leaving > 0) this.#schedule(RETRY_MS);
  }

  async #enrolAll(): Promise<void> {
    const { pods, settings } = this.#options;
    this.#removeGone();
    const wanted: { uid: string; pod: PodObject; decision: CaptureDecision }[] = [];
    this.#unenrolled.clear();
    let leaving = 0;
    for (const [uid, pod] of this.#pods) {
      const decision = decideCapture(pod, this.#namespaces.get(pod.meta.namespace), settings);
      const held = pods.find(uid);
      if (held === undefined && decision.captured) wanted.push({ uid, pod, decision });
      else if (held?.state.kind === 'uncaptured' && !decision.captured) this.#drop(uid, 'stays');
      else if (held !== undefined) pods.decide(uid, toPodDecision(decision));
      if (held !== undefined && !decision.captured) leaving += 1;
    }
    this.#leaving = leaving;
    if (wanted.length === 0) return;
    const sandboxes = await findRuntimeSandboxes(this.#options.proc);
    for (const { uid, pod, decision } of wanted) {
      if (this.#closed) return;
      const sandbox = sandboxes.get(uid);
      const reason = await whyNot(pod, sandbox, this.#options.proc);
      if (reason !== undefined || sandbox === undefined) {
        this.#unenrolled.set(uid, { name: nameOf(pod), reason: reason ?? 'no_sandbox' });
        continue;
      }
      pods.adopt(uid, toSpec(pod), { ...sandbox, addresses: pod.addresses });
      pods.decide(uid, toPodDecision(decision));
    }
  }

  // One whose sandbox has ended is removed by the manager, that looks after holders; this is for those that were told.
  #removeGone(): void {
    for (const { uid } of this.#options.pods.list()) {
      const pod = this.#pods.get(uid);
      if (pod === undefined || pod.phase === 'Succeeded' || pod.phase === 'Failed') this.#drop(uid, 'gone');
    }
  }

  /** Nothing of it is ours any more. Of a pod that stays it must still be said that it is out of the mesh. */
  #drop(uid: string, pod: 'stays' | 'gone'): void {
    const { pods, forget, log } = this.#options;
    if (pod === 'gone') forget(uid);
    pods.remove(uid).catch((error: unknown) => log.error('pod not removed', { uid, error: errorText(error) }));
  }
}

async function whyNot(
  pod: PodObject,
  sandbox: RuntimeSandbox | undefined,
  proc: string | undefined,
): Promise<UnenrolledReason | undefined> {
  if (pod.addresses.length === 0) return 'no_address';
  if (sandbox === undefined) return 'no_sandbox';
  try {
    return (await ownsAddresses(sandbox.holder.pid, pod.addresses, proc)) ? undefined : 'foreign_address';
  } catch {
    return 'unreadable';
  }
}

function uidOf({ metadata: { uid = '' } }: ApiObject): string {
  return uid;
}

function nameOf({ meta }: PodObject): string {
  return `${meta.namespace}/${meta.name}`;
}

function toSpec({ meta, serviceAccount, ports }: PodObject): PodSpec {
  return {
    namespace: meta.namespace,
    name: meta.name,
    serviceAccount,
    labels: Object.fromEntries(meta.labels),
    annotations: Object.fromEntries(meta.annotations),
    ports: Object.fromEntries(ports.filter(({ name }) => name !== '').map(({ name, port }) => [name, port])),
  };
}

function toPodDecision({ captured, ...decision }: CaptureDecision): Parameters<PodManager['decide']>[1] {
  return { capture: captured, ...decision };
}
