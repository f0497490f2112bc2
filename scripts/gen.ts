// SPDX-License-Identifier: Apache-2.0
//
// Writes every generated file of the repository, or, with --check, names those that differ from what would be written.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generateErrorCode } from './gen-error-code.ts';
import { generateMessagesCc } from './gen-messages-cc.ts';
import { generateMessagesTs } from './gen-messages-ts.ts';
import type { GeneratedFile } from './generated-file.ts';

const root = join(import.meta.dirname, '..');

function read(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function write(file: GeneratedFile): void {
  const path = join(root, file.path);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, file.content);
}

const files: GeneratedFile[] = [generateMessagesTs(), ...generateMessagesCc(), ...generateErrorCode()];
const changed = files.filter((file) => read(file.path) !== file.content);

if (process.argv.includes('--check')) {
  for (const file of changed) console.error(`${file.path}: is not what its source says; run \`npm run gen\` and commit the result`);
  process.exitCode = changed.length === 0 ? 0 : 1;
} else {
  for (const file of changed) {
    write(file);
    console.log(`wrote ${file.path}`);
  }
  console.log(`${files.length} generated files, ${changed.length} changed`);
}
