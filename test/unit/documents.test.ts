// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TABLE } from '#src/config/table.ts';
import { ERROR_TABLE } from '#src/model/errors.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
// The change log may name what is gone.
const documents = globSync(['{README,ARCHITECTURE,CONTRIBUTING}.md', 'docs/**/*.md', 'daemonset/*.md'], { cwd: root });

const FLAG = /(?<![\w-])--[a-z][a-z0-9-]*/g;
const OF_OTHER_PROGRAMS = ['--net', '--test', '--server-side'];

/** The flags that a program of ours takes which is no command of `groundwire`. */
function flagsOf(program: string): string[] {
  return Array.from(read(program).matchAll(/'?([a-z-]+)'?: \{ type: '/g), ([, flag]) => `--${flag}`);
}

test('documents: ARCHITECTURE.md says where each error comes from', () => {
  const words = new Set(read('ARCHITECTURE.md').match(/\b[A-Z_]+\b/g));
  assert.deepEqual(
    Object.keys(ERROR_TABLE).filter((code) => !words.has(code)),
    [],
  );
});

test('documents: ARCHITECTURE.md has a layer for each part of src/', () => {
  const [, picture = ''] = /^## The wiring\n([^]*?)^## /m.exec(read('ARCHITECTURE.md')) ?? [];
  const words = new Set(picture.match(/[\w-]+/g));
  assert.deepEqual(
    readdirSync(join(root, 'src')).filter((part) => !words.has(part.replace(/\.ts$/, ''))),
    [],
  );
});

test('documents: each flag that they name is one', () => {
  const settings = Object.values(TABLE).flatMap((part) => Object.values(part));
  const known = new Set([
    ...settings.map(({ flag }) => `--${flag}`),
    ...flagsOf('src/tour/main.ts'),
    ...flagsOf('bench/main.ts'),
    ...OF_OTHER_PROGRAMS,
  ]);
  assert.ok(documents.length > 0);
  assert.deepEqual(
    documents.flatMap((path) =>
      (read(path).match(FLAG) ?? []).filter((flag) => !known.has(flag)).map((flag) => `${path}: ${flag}`),
    ),
    [],
  );
});
