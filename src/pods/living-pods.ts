// SPDX-License-Identifier: Apache-2.0

import { isAlive } from '../host/process-id.ts';
import type { PodRecord } from './pod.ts';
import { readPodRecords } from './pod-files.ts';

// Of a full node a person needs the number, and a few to recognise them by.
const PODS_NAMED_MAX = 5;

/** Names of the pods that a run directory tells of and whose holders live. Throws when that cannot be seen. */
export async function findLivingPods(
  directory: string,
  isMeant: (record: PodRecord) => boolean = () => true,
): Promise<readonly string[]> {
  const meant = (await readPodRecords(directory)).filter(isMeant);
  const alive = await Promise.all(meant.map(({ holder }) => isAlive(holder)));
  return meant
    .filter((_, index) => alive[index])
    .map(({ spec }) => `${spec.namespace}/${spec.name}`)
    .sort();
}

/** The living pods of a run directory in words; `undefined` for none. Throws when that cannot be seen. */
export async function nameLivingPods(directory: string): Promise<string | undefined> {
  const pods = await findLivingPods(directory);
  return pods.length === 0 ? undefined : listPods(pods);
}

/** The first few by name, and how many more. */
export function listPods(pods: readonly string[]): string {
  const named = pods.slice(0, PODS_NAMED_MAX).join(', ');
  return pods.length > PODS_NAMED_MAX ? `${named} and ${pods.length - PODS_NAMED_MAX} more` : named;
}
