// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { connectionsOfFiles, parseFileLimit, readFileLimit } from '#src/node/file-limit.ts';

test('file limit: is read as the kernel writes it', () => {
  const limits =
    'Limit                     Soft Limit           Hard Limit           Units     \n' +
    'Max cpu time              unlimited            unlimited            seconds   \n' +
    'Max open files            20000                1048576              files     \n';
  assert.equal(parseFileLimit(limits), 20_000);
  assert.equal(parseFileLimit(limits.replace('20000  ', 'unlimited')), undefined);
  assert.equal(parseFileLimit(''), undefined);
  assert.ok((readFileLimit() ?? 0) > 0);
});

test('file limit: connections of two files each leave some for tunnels and the agent', () => {
  for (const files of [1024, 20_000, 1_048_576]) {
    const connections = connectionsOfFiles(files);
    assert.ok(connections * 2 + Math.max(256, files / 8) <= files, `${files}`);
    assert.ok(connections * 2 > files / 2, `${files}`);
  }
  assert.equal(connectionsOfFiles(10), 1);
});
