// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Closers } from '#src/model/closers.ts';
import { recordingLog } from '../discovery/loopback.ts';

test('every step is undone, the last first, also after one that fails, which is told', async () => {
  const { log, lines } = recordingLog();
  const closers = new Closers(log);
  const done: string[] = [];
  closers.add('node', () => {
    done.push('node');
  });
  closers.add('engine', async () => {
    throw new Error('no answer');
  });
  closers.add('api', async () => {
    done.push('api');
  });
  await closers.close();
  assert.deepEqual(done, ['api', 'node']);
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields['what'], fields['error']]),
    [['error', 'engine', 'Error: no answer']],
  );
  await closers.close();
  assert.deepEqual(done, ['api', 'node'], 'once');
});
