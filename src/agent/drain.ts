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
  while (liveConnections(engine) > 0n && clock.nowMs() < endMs) {
    await new Promise<void>((resolve) => {
      clock.setTimer(DRAIN_POLL_MS, resolve);
    });
  }
}

// By the counter: there may be tens of thousands, and who they are does not matter here.
function liveConnections(engine: Pick<EnginePort, 'readSnapshot'>): bigint {
  const { counters } = engine.readSnapshot(['counters']);
  return counters.find(({ name }) => name === 'connections_live')?.value ?? 0n;
}
