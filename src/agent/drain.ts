// SPDX-License-Identifier: Apache-2.0

import type { EnginePort } from '../engine/port.ts';
import type { Clock } from '../model/clock.ts';

const DRAIN_POLL_MS = 50;

/** No new connections; resolves when the live ones have ended or the deadline is over. */
export async function drain(
  engine: Pick<EnginePort, 'apply' | 'readSnapshot'>,
  deadlineMs: number,
  clock: Clock,
): Promise<void> {
  await engine.apply([{ kind: 'Drain', deadlineMs }]);
  const endMs = clock.nowMs() + deadlineMs;
  while (engine.readSnapshot(['connections']).connections.length > 0 && clock.nowMs() < endMs) {
    await new Promise<void>((resolve) => {
      clock.setTimer(DRAIN_POLL_MS, resolve);
    });
  }
}
