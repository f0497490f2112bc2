// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PodCaptures } from '#src/dialogue/pod-captures.ts';
import type { EngineEvent } from '#src/engine/messages.gen.ts';
import type { LogFields } from '#src/model/log.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';

test('PodCaptures: why the kernel refused is logged with its first try, and again once that is over', () => {
  const lines: (LogFields | undefined)[] = [];
  const log = { debug() {}, info() {}, error() {}, warn: (_: string, fields?: LogFields) => lines.push(fields) };
  const captures = new PodCaptures({ apply: async () => {} }, new ManualClock(), log);
  const fault = { kind: 'PodFault', pod: 7, fault: 'release', detail: 'unpin: Device or resource busy' } as const;
  const tell = (...events: readonly EngineEvent[]): void => events.forEach((event) => captures.onEvent(event));
  tell(fault, fault, { ...fault, pod: 8 });
  assert.deepEqual(lines, [
    { pod: '7', reason: fault.detail, unsaid: 0 },
    { pod: '8', reason: fault.detail, unsaid: 0 },
  ]);
  tell({ kind: 'PodReleased', pod: 7 }, fault);
  assert.equal(lines.length, 3);
});
