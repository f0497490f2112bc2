// SPDX-License-Identifier: Apache-2.0
//
// Writes every generated file of the repository, or, with --check, names those that differ from what would be written.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { COMMANDS } from '../src/commands/commands.ts';
import { renderConfigDocs } from '../src/config/render.ts';
import { generateCounters } from './gen-counters.ts';
import { renderCounterDocs, renderErrorDocs, renderFieldDocs } from './gen-docs.ts';
import { generateErrorCode } from './gen-error-code.ts';
import { generateLayout } from './gen-layout.ts';
import { generateMessagesCc } from './gen-messages-cc.ts';
import { generateMessagesTs } from './gen-messages-ts.ts';
import { generateProtos } from './gen-protos.ts';
import type { GeneratedFile } from './generated-file.ts';

const root = join(import.meta.dirname, '..');

function isCurrent(file: GeneratedFile): boolean {
  try {
    return readFileSync(join(root, file.path), 'utf8') === file.content;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

function write(file: GeneratedFile): void {
  const path = join(root, file.path);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, file.content);
}

const check = process.argv.includes('--check');
const files: GeneratedFile[] = [
  ...generateMessagesTs(),
  ...generateMessagesCc(),
  ...generateErrorCode(),
  ...generateCounters(),
  generateLayout(readFileSync(join(root, 'bpf/mesh_abi.h'), 'utf8')),
  renderErrorDocs(),
  renderFieldDocs(),
  renderCounterDocs(),
  { path: 'docs/config.md', content: renderConfigDocs(await Promise.all(COMMANDS.map((one) => one.load()))) },
];
const stale = files.filter((file) => !isCurrent(file));
if (!check) stale.forEach(write);
const changed = [...stale.map((file) => file.path), ...generateProtos(check)];

for (const path of changed) {
  if (check) console.error(`${path}: is not what its source says; run \`npm run gen\` and commit the result`);
  else console.log(`wrote ${path}`);
}
if (check && changed.length > 0) process.exitCode = 1;
