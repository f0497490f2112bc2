// SPDX-License-Identifier: Apache-2.0

// The words that explanations of both directions share.

import type { LocalPods } from '../mesh/resolve-outbound.ts';
import type { DependencyKey, MeshView } from '../mesh/view.ts';
import { ERROR_TABLE } from '../model/errors.ts';
import { formatSpiffeId } from '../model/identity.ts';
import { hintOf } from '../model/policy-origin.ts';
import type { Refusal } from '../model/route.ts';
import type { Workload } from '../model/workload.ts';
import type { MeshContents } from './facts.ts';
import { HttpError } from './http.ts';

export type ExplainedMesh = MeshView & Pick<MeshContents, 'workloads' | 'services'>;

export function unknown(reason: string): HttpError {
  return new HttpError(404, `${reason}, as far as this agent knows`);
}

/** The kernel's word for pods of this node, the mesh's for all others. */
export function isCaptured(localPods: LocalPods, workload: Workload): boolean {
  return localPods.findCapturedPod(workload.uid) !== undefined || workload.tunnelProtocol === 'HBONE';
}

export function describe(workload: Workload): string {
  return `${nameOf(workload)} (${workload.addresses.join(', ')}; ${formatSpiffeId(workload)}; ${workload.tunnelProtocol === 'HBONE' ? 'in the mesh' : 'not in the mesh'})`;
}

export function nameOf({ namespace, name }: Workload): string {
  return `${namespace}/${name}`;
}

export function describeRefusal({ code, policy }: Refusal): string {
  const { message } = ERROR_TABLE[code];
  return `refused: ${message} (${code})${policy === undefined ? '' : ` by ${policy}`}. ${hintOf(code, policy)}`;
}

export function describeDependencies(dependencies: ReadonlySet<DependencyKey>): readonly string[] {
  return [...dependencies].sort().map((key) => `looked at: ${key}`);
}
