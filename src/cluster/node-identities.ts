// SPDX-License-Identifier: Apache-2.0

import type { RegisteredPod } from '../discovery/pod-table.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { PodObject } from '../objects/objects.ts';

/**
 * Whether a pod with this identity runs on the node, by its own report or by the manifests.
 *
 * A Pod that has ended is history: its identity is not the node's to use any more.
 */
export function runsOnNode(
  identity: SpiffeId,
  node: string,
  registered: readonly RegisteredPod[],
  manifests: readonly PodObject[],
): boolean {
  const { namespace, serviceAccount } = identity;
  return (
    registered.some(
      (pod) => pod.node === node && pod.namespace === namespace && pod.serviceAccount === serviceAccount,
    ) ||
    manifests.some(
      (pod) =>
        pod.nodeName === node &&
        pod.meta.namespace === namespace &&
        pod.serviceAccount === serviceAccount &&
        pod.phase !== 'Succeeded' &&
        pod.phase !== 'Failed',
    )
  );
}
