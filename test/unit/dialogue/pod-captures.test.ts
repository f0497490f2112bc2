// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PodCaptures } from '#src/dialogue/pod-captures.ts';
import type { LogFields } from '#src/model/log.ts';
import type { EngineEvent } from '#src/model/messages.gen.ts';
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

test('PodCaptures: what was undone of a capture is a problem until it is long ago, or its pod is released', () => {
  const clock = new ManualClock();
  const log = { debug() {}, info() {}, error() {}, warn() {} };
  const captures = new PodCaptures({ apply: async () => {} }, clock, log);
  const undone = { kind: 'PodFault', pod: 7, fault: 'repaired', detail: 'rule 472' } as const;
  captures.onEvent(undone);
  clock.advance(4_000);
  captures.onEvent({ kind: 'PodFault', pod: 0, fault: 'repair', detail: 'open pin: No such file or directory' });
  assert.deepEqual(captures.problems(), [
    'capture of 7 was undone from outside the agent and put back 4 s ago: rule 472',
    'capture is undone and could not be put back, tried again: open pin: No such file or directory',
  ]);
  clock.advance(60_000);
  assert.deepEqual(captures.problems(), [
    'capture of 7 was undone from outside the agent and put back 64 s ago: rule 472',
  ]);
  captures.onEvent({ kind: 'PodReleased', pod: 7 });
  assert.deepEqual(captures.problems(), []);
});
