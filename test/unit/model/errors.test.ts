// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERROR_TABLE } from '#src/model/errors.ts';

const ROOT = join(import.meta.dirname, '../../..');
const FOLDERS = ['test/unit', 'test/native', 'test/mesh', 'native/test'];

/** As the engine has it: POLICY_DENIED is kPolicyDenied. */
function engineName(code: string): string {
  return `k${code
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('')}`;
}

test('ERROR_TABLE: a test names each code', () => {
  const words = new Set(
    FOLDERS.flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
        .filter((path) => /\.(ts|cc|h)$/.test(path))
        .flatMap((path) => readFileSync(join(ROOT, folder, path), 'utf8').match(/\w+/g) ?? []),
    ),
  );
  const unnamed = Object.keys(ERROR_TABLE).filter((code) => !words.has(code) && !words.has(engineName(code)));
  assert.deepEqual(unnamed, []);
});
