// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { parseAllDocuments, stringify } from 'yaml';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { formatProblem } from '#src/objects/problem.ts';

const directory = new URL('../../fixtures/istio-validation/', import.meta.url);
const KINDS = ['authz', 'peerauth', 'serviceentry', 'workloadentry'];

test('istio-validation: every fixture of a served kind is run', () => {
  const expected = KINDS.flatMap((kind) => [`${kind}-invalid.yaml`, `${kind}-valid.yaml`]);
  assert.deepEqual(readdirSync(directory).sort(), expected.sort());
});

for (const kind of KINDS) {
  test(`istio-validation: ${kind}-valid.yaml is accepted, every object of it`, () => {
    const text = readFileSync(new URL(`${kind}-valid.yaml`, directory), 'utf8');
    const parsed = parseManifest('valid.yaml', text);
    assert.deepEqual(parsed.problems.map(formatProblem), []);
    assert.equal(parsed.objects.length, parseAllDocuments(text).length);
  });

  for (const document of parseAllDocuments(readFileSync(new URL(`${kind}-invalid.yaml`, directory), 'utf8'))) {
    const { _err: expected, ...object } = document.toJS() as { _err: string; metadata: { name: string } };
    test(`istio-validation: ${kind} ${object.metadata.name} is rejected: ${expected}`, () => {
      const parsed = parseManifest('invalid.yaml', stringify(object));
      assert.ok(parsed.objects.every(({ refused }) => refused));
      const problems = parsed.problems.map(
        (problem) => `${formatProblem(problem)}\n${problem.field} ${problem.reason}`,
      );
      assert.ok(problems.join('\n').includes(expected), `${expected}\nnot in\n${problems.join('\n')}`);
    });
  }
}
