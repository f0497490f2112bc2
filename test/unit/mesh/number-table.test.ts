// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { NONE, NumberTable } from '#src/mesh/number-table.ts';

test('NumberTable: a new row is empty, also where one was removed', () => {
  const table = new NumberTable(['a', 'b']);
  const row = table.add();
  table.set(row, 'b', 7);
  table.remove(row);
  assert.equal(table.add(), row);
  assert.deepEqual([table.get(row, 'a'), table.get(row, 'b')], [NONE, NONE]);
});

test('NumberTable: agrees with a map of rows', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant('add') }, fc.nat(400))), (steps) => {
      const table = new NumberTable(['a', 'b']);
      const rows = new Map<number, number>();
      for (const [index, step] of steps.entries()) {
        if (typeof step === 'string') {
          const row = table.add();
          assert.ok(!rows.has(row));
          table.set(row, 'a', index);
          table.set(row, 'b', index + 1);
          rows.set(row, index);
        } else if (rows.delete(step)) {
          table.remove(step);
        }
      }
      assert.equal(table.size, rows.size);
      for (const [row, value] of rows) assert.deepEqual([table.get(row, 'a'), table.get(row, 'b')], [value, value + 1]);
    }),
  );
});
