// SPDX-License-Identifier: Apache-2.0

import { until as answered } from '#src/harness/shell.ts';

/** Waits until something holds that no event tells of; throws in words when it does not come true. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  await answered(what, () => holds() || undefined, 20_000, 5);
}
