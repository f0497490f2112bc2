// SPDX-License-Identifier: Apache-2.0
//
// What a process loads it keeps in memory all its life, so a command loads what it uses and nothing else.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** Imports that are there when the program runs; `import()` loads later, if at all. */
const LOADING = /^(?:import|export)\s+(?!type\b)(?:[^;']*?\sfrom\s+)?'([^']+)';/gm;

/** Each file of ours and each package that `entry` loads, with the way to it. */
function loadedBy(entry: string): Map<string, string> {
  const ways = new Map([[entry, entry]]);
  for (const [file, way] of ways) {
    if (!file.startsWith('src/')) continue;
    for (const [, specifier = ''] of readFileSync(join(root, file), 'utf8').matchAll(LOADING)) {
      const found = specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : specifier;
      if (!ways.has(found)) ways.set(found, `${way} > ${found}`);
    }
  }
  return ways;
}

function loadedAmong(entry: string, unwanted: RegExp): string[] {
  return [...loadedBy(entry)].filter(([found]) => unwanted.test(found)).map(([, way]) => way);
}

test('loading: an agent loads nothing of what only a control plane needs', () => {
  assert.ok(loadedBy('src/commands/control.ts').has('@peculiar/x509'), 'the way is followed');
  const ofControlPlane =
    /^(?:@peculiar\/x509|reflect-metadata|yaml)$|^src\/(?:control|compile|objects)\/|^src\/(?:cluster|manifests)\/(?!(?:restore-error|manifests-missing)\.ts$)/;
  assert.deepEqual(loadedAmong('src/commands/agent.ts', ofControlPlane), []);
});

test('loading: a command that asks an agent loads no package and nothing of an agent', () => {
  const ofAgent = /^(?!src\/|node:)|^src\/(?:agent|control|mesh|discovery|engine|identity)\//;
  for (const name of ['status', 'workloads', 'services', 'policies', 'certificates', 'connections', 'explain', 'run'])
    assert.deepEqual(loadedAmong(`src/commands/${name}.ts`, ofAgent), [], name);
  assert.deepEqual(loadedAmong('src/main.ts', ofAgent), []);
});
