// SPDX-License-Identifier: Apache-2.0

import { isDeepStrictEqual } from 'node:util';

import type { CaptureDecision, ReportedPod } from './pod-report.ts';

/** A pod, and where it runs. */
export interface RegisteredPod extends ReportedPod {
  readonly node: string;
  /** When its node had been away for its grace: since then it may be gone, or live where nobody sees it. */
  readonly lostSinceMs?: number;
}

interface Entry {
  readonly pod: RegisteredPod;
  readonly decision: CaptureDecision | undefined;
}

/** Which pods there are on which node, and what was decided of each. A pod's name and uid belong to one node at a time. */
export class PodTable {
  readonly #podsPerNodeMax: number;
  readonly #nodes = new Map<string, Map<string, Entry>>();
  readonly #byUid = new Map<string, RegisteredPod>();
  readonly #byName = new Map<string, RegisteredPod>();
  readonly #changed = new Set<string>();

  constructor(podsPerNodeMax: number) {
    this.#podsPerNodeMax = podsPerNodeMax;
  }

  pods(): RegisteredPod[] {
    return [...this.#byUid.values()];
  }

  /** Pods that came, went or were described anew since this was called last, by uid; `undefined`: gone. */
  takeChanges(): Map<string, RegisteredPod | undefined> {
    const changes = new Map([...this.#changed].map((uid) => [uid, this.#byUid.get(uid)]));
    this.#changed.clear();
    return changes;
  }

  podsOf(node: string): RegisteredPod[] {
    return [...this.#entriesOf(node).values()].map(({ pod }) => pod);
  }

  /** The pod of this uid, wherever it runs. */
  find(uid: string): RegisteredPod | undefined {
    return this.#byUid.get(uid);
  }

  /** Why a pod cannot be put; `undefined` when it can. A lost pod is in nobody's way. */
  problemWith(pod: RegisteredPod): string | undefined {
    if (pod.uid === '' || pod.name === '' || pod.namespace === '') return 'uid, name and namespace must be given';
    const entries = this.#entriesOf(pod.node);
    if (!entries.has(pod.uid) && entries.size >= this.#podsPerNodeMax)
      return `the node has ${this.#podsPerNodeMax} pods already`;
    const twin = this.#twinsOf(pod).find((other) => other.node !== pod.node && other.lostSinceMs === undefined);
    return twin === undefined ? undefined : `pod ${twin.namespace}/${twin.name} runs on node ${twin.node} already`;
  }

  /** Adds a pod, or its new description. Those in whose place it comes are removed and returned. */
  put(pod: RegisteredPod): readonly RegisteredPod[] {
    // Of its node, under an older uid: it was started again while the stream was away. Of another one: a lost pod.
    const replaced = this.#twinsOf(pod).filter((other) => other.node !== pod.node || other.uid !== pod.uid);
    for (const { node, uid } of replaced) this.remove(node, uid);
    const entries = this.#entriesOf(pod.node);
    this.#nodes.set(pod.node, entries);
    // It may be described under another name.
    this.#unindex(entries.get(pod.uid)?.pod);
    entries.set(pod.uid, { pod, decision: entries.get(pod.uid)?.decision });
    this.#byUid.set(pod.uid, pod);
    this.#byName.set(nameOf(pod), pod);
    this.#changed.add(pod.uid);
    return replaced;
  }

  remove(node: string, uid: string): RegisteredPod | undefined {
    const entries = this.#entriesOf(node);
    const entry = entries.get(uid);
    entries.delete(uid);
    if (entries.size === 0) this.#nodes.delete(node);
    this.#unindex(entry?.pod);
    return entry?.pod;
  }

  removeNode(node: string): void {
    for (const { uid } of this.podsOf(node)) this.remove(node, uid);
  }

  /** Remembers a decision. False when it is the one before, or there is no such pod. */
  decide(decision: CaptureDecision): boolean {
    const pod = this.find(decision.uid);
    if (pod === undefined) return false;
    const entries = this.#entriesOf(pod.node);
    const before = entries.get(pod.uid)?.decision;
    if (before !== undefined && isSameDecision(before, decision)) return false;
    entries.set(pod.uid, { pod, decision });
    return true;
  }

  decisionsOf(node: string): CaptureDecision[] {
    return [...this.#entriesOf(node).values()].flatMap(({ decision }) => decision ?? []);
  }

  /** The pods that cannot be beside this one: of its uid, and of its name. */
  #twinsOf(pod: RegisteredPod): RegisteredPod[] {
    return [...new Set([this.#byUid.get(pod.uid), this.#byName.get(nameOf(pod))])].flatMap((twin) => twin ?? []);
  }

  #unindex(pod: RegisteredPod | undefined): void {
    if (pod === undefined) return;
    this.#byUid.delete(pod.uid);
    this.#byName.delete(nameOf(pod));
    this.#changed.add(pod.uid);
  }

  #entriesOf(node: string): Map<string, Entry> {
    return this.#nodes.get(node) ?? new Map();
  }
}

function nameOf({ namespace, name }: ReportedPod): string {
  return `${namespace}/${name}`;
}

function isSameDecision(a: CaptureDecision, b: CaptureDecision): boolean {
  return (
    a.capture === b.capture &&
    a.sameNodeMode === b.sameNodeMode &&
    a.existingConnections === b.existingConnections &&
    a.dnsCapture === b.dnsCapture &&
    a.reason === b.reason &&
    isDeepStrictEqual(a.notices, b.notices)
  );
}
