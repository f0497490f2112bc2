// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

const FOLDER = 'src/wire';

// unknownFields: a policy with a field that this version does not know is rejected whole, so the decoder must see it.
const OPTIONS = [
  'env=node',
  'esModuleInterop=true',
  'importSuffix=.ts',
  'enumsAsLiterals=true',
  'unrecognizedEnum=false',
  'outputServices=grpc-js',
  'forceLong=bigint',
  'oneof=unions-value',
  'outputJsonMethods=false',
  'unknownFields=true',
  'useExactTypes=false',
  'comments=false',
];

/**
 * Generates the TypeScript of `proto/`, or with `check` only compares it with what is checked in.
 *
 * Returns the paths (from the root of the repository) that changed or, with `check`, would change. Works without a network.
 */
export function generateProtos(check: boolean): string[] {
  const work = mkdtempSync(join(tmpdir(), 'groundwire-gen-'));
  try {
    runBuf(work);
    return reconcile(join(ROOT, FOLDER), readTree(work), check);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function runBuf(out: string): void {
  const bin = join(ROOT, 'node_modules/.bin');
  const template = {
    version: 'v2',
    plugins: [
      {
        local: [process.execPath, join(bin, 'protoc-gen-ts_proto')],
        out,
        include_imports: true,
        include_wkt: true,
        opt: OPTIONS,
      },
    ],
  };
  execFileSync(process.execPath, [join(bin, 'buf'), 'generate', 'proto', '--template', JSON.stringify(template)], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

function readTree(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(folder, path), readFileSync(path, 'utf8'));
  }
  return files;
}

function reconcile(folder: string, made: ReadonlyMap<string, string>, check: boolean): string[] {
  mkdirSync(folder, { recursive: true });
  const present = readTree(folder);
  const changed: string[] = [];
  for (const [name, text] of made) {
    const content = `// SPDX-License-Identifier: Apache-2.0\n${text}`;
    if (present.get(name) === content) continue;
    changed.push(relative(ROOT, join(folder, name)));
    if (check) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  for (const name of present.keys()) {
    if (made.has(name)) continue;
    changed.push(relative(ROOT, join(folder, name)));
    if (!check) rmSync(join(folder, name));
  }
  return changed;
}
