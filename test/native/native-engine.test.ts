// SPDX-License-Identifier: Apache-2.0
import { after, test } from 'node:test';
import { NativeEngine } from '#src/engine/index.ts';
import { testEnginePort } from '../unit/engine/contract.ts';
import { cannotRun, EngineFixture } from './engine-fixture.ts';

if (cannotRun === undefined) {
  const fixture = new EngineFixture();
  after(() => fixture[Symbol.dispose]());
  testEnginePort('native engine', () => NativeEngine.open(fixture.options()));
} else {
  test('native engine: keeps the promises of EnginePort', { skip: cannotRun }, () => {});
}
