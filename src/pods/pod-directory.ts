// SPDX-License-Identifier: Apache-2.0

import type { PodDirectory } from '../mesh/decider.ts';
import type { LocalPod } from '../mesh/resolve-outbound.ts';
import type { DependencyKey } from '../mesh/view.ts';
import { dependency } from '../mesh/view.ts';
import type { PodSpec, PodView } from './pod.ts';

/** The uid by which the mesh knows a pod; istiod's form. */
export function workloadUidOf(clusterId: string, spec: Pick<PodSpec, 'namespace' | 'name'>): string {
  return `${clusterId}//Pod/${spec.namespace}/${spec.name}`;
}

/**
 * The pods of this node as decisions see them, by engine handle and by workload uid.
 *
 * A copy, renewed by `update`, so that looking one up costs nothing on the way of a connection.
 */
export class LocalPodDirectory implements PodDirectory {
  readonly #uidByHandle = new Map<number, string>();
  readonly #captured = new Map<string, LocalPod>();

  /** Takes over the pods as they are now; returns the keys of decisions that this may overturn. */
  update(clusterId: string, pods: readonly PodView[]): ReadonlySet<DependencyKey> {
    const before = new Map(this.#captured);
    this.#uidByHandle.clear();
    this.#captured.clear();
    for (const pod of pods) {
      const uid = workloadUidOf(clusterId, pod.spec);
      this.#uidByHandle.set(pod.handle, uid);
      if (pod.state.kind !== 'captured') continue;
      this.#captured.set(uid, { handle: pod.handle, sameNodeMode: pod.decision?.sameNodeMode ?? 'handoff' });
    }
    const changed = new Set<DependencyKey>();
    for (const uid of new Set([...before.keys(), ...this.#captured.keys()])) {
      const [old, now] = [before.get(uid), this.#captured.get(uid)];
      if (old?.handle !== now?.handle || old?.sameNodeMode !== now?.sameNodeMode) changed.add(dependency.pod(uid));
    }
    return changed;
  }

  findWorkloadUid(handle: number): string | undefined {
    return this.#uidByHandle.get(handle);
  }

  findCapturedPod(workloadUid: string): LocalPod | undefined {
    return this.#captured.get(workloadUid);
  }
}
