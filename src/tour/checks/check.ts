// SPDX-License-Identifier: Apache-2.0

import { until } from '../../harness/shell.ts';
import type { PodShell } from '../../harness/two-node-mesh.ts';
import { MARKER, type Shop, shopPolicy, visitWeb, WEB_PORT } from '../shop.ts';

/** One promise of the mesh, shown on real traffic. */
export interface Check {
  readonly title: string;
  /** Returns the figure that shows it; throws when the promise does not hold. */
  run(shop: Shop): Promise<string>;
}

/** What a change of label or policy may take until new connections see it. */
export const EFFECT_WITHIN_MS = 1000;

// A wait is longer than what is promised, so that a slow machine gets a figure and not only "timed out".
const PATIENCE_MS = 15_000;

/** Throws with the claim that does not hold. */
export function holds(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new Error(`does not hold: ${claim}`);
}

export async function isServed(shop: Shop, who: PodShell, port = WEB_PORT): Promise<boolean> {
  const visit = await visitWeb(shop, who, port);
  return visit.code === 0 && (port !== WEB_PORT || visit.stdout.includes(MARKER));
}

/** Puts a policy into the manifests, or takes it out, and returns how long it took until `effect` was seen. */
export async function changePolicy(
  shop: Shop,
  file: string,
  present: boolean,
  effect: () => Promise<boolean>,
): Promise<number> {
  const begun = performance.now();
  if (present) shop.mesh.writeManifest(file, shopPolicy(file, shop.clientAddress));
  else shop.mesh.removeManifest(file);
  await until(
    `${file} ${present ? 'takes' : 'loses'} effect`,
    async () => ((await effect()) ? true : undefined),
    PATIENCE_MS,
    20,
  );
  return performance.now() - begun;
}

/** A duration as the tour prints it. */
export function milliseconds(ms: number): string {
  return `${Math.round(ms)} ms`;
}
