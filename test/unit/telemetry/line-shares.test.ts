// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { LineShares } from '#src/telemetry/line-shares.ts';

function setUp(podLinesMax: number) {
  const told: [pod: number, lines: number][] = [];
  let endWindow: (() => void) | undefined;
  const clock = {
    nowMs: () => 0,
    setTimer: (delayMs: number, run: () => void) => {
      assert.equal(delayMs, 1000);
      assert.equal(endWindow, undefined);
      endWindow = run;
      return () => {
        endWindow = undefined;
      };
    },
  };
  const shares = new LineShares({ podLinesMax, clock, onLeftOut: (pod, lines) => told.push([pod, lines]) });
  const nextSecond = (): void => {
    const run = endWindow;
    endWindow = undefined;
    run?.();
  };
  const take = (pod: number, times: number): number =>
    Array.from({ length: times }, () => shares.take(pod)).filter(Boolean).length;
  return { shares, told, take, nextSecond };
}

test('LineShares: a pod beyond its lines of a second loses its own, told once, and no other pod’s', () => {
  const { shares, told, take, nextSecond } = setUp(10);
  assert.equal(take(1, 1000), 10);
  assert.equal(take(2, 10), 10);
  nextSecond();
  assert.deepEqual(told, [[1, 990]]);
  assert.equal(take(1, 11), 10);
  assert.equal(shares.leftOutTotal, 991);
  nextSecond();
  nextSecond();
  assert.deepEqual(told, [
    [1, 990],
    [1, 1],
  ]);
});

test('LineShares: 0 leaves nothing out, and what was left out is told at the end', () => {
  assert.equal(setUp(0).take(1, 5000), 5000);
  const { shares, told, take } = setUp(1);
  take(7, 3);
  shares.close();
  assert.deepEqual(told, [[7, 2]]);
});
