// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { ConsultedFieldBit } from '#src/engine/messages.gen.ts';
import { CONSULTED, CONSULTED_ALL } from '#src/mesh/questions.ts';

test('questions: a decision names the fields it looked at as the engine does', () => {
  assert.deepEqual(CONSULTED, ConsultedFieldBit);
  for (const [field, bit] of Object.entries(ConsultedFieldBit)) assert.ok(CONSULTED_ALL & bit, field);
});
