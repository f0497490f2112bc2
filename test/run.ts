// SPDX-License-Identifier: Apache-2.0
//
// node test/run.ts [MODE...]       without a mode: everything
//
//   presubmit  format, lint, types, generated code, unit tests (the layering test is one): under two minutes, no root
//   unit       test/unit
//   native     clang-tidy; C++ tests, those of the eBPF programs in the kernel among them (root): plain,
//              AddressSanitizer and UBSan, ThreadSanitizer; then the addon's tests
//   mesh       whole agents in network namespaces (root)
//   docs       every command that the documents show
//   fuzz       each fuzz target for a short while
//   cluster    a real Kubernetes of two nodes with the mesh on it (root); not part of a run of everything, since its
//              programs are built first
//
// The last line is `N passed, N failed`, with the skipped ones where there are any. A test that needs root or a kernel
// feature that is not there says so and is skipped; with CI=true that is a failure.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runCheck } from './helpers/command-tests.ts';
import { runFuzz, runNative, runTidy } from './helpers/native-tests.ts';
import { type NodeTestOptions, runNodeTests, runPrivilegedTests, testFiles } from './helpers/node-tests.ts';
import { addTallies, type Tally } from './helpers/tally.ts';

const root = join(import.meta.dirname, '..');
const skipsFail = process.env['CI'] === 'true';

const quick: NodeTestOptions = { root, concurrency: availableParallelism(), timeoutMs: 120_000, skipsFail };
const patient: NodeTestOptions = { ...quick, timeoutMs: 300_000 };
const command = { root, timeoutMs: 600_000 };

/** Each stage by its name, in the order of a whole run: what is quick and says most comes first. */
const STAGES: Readonly<Record<string, () => Promise<Tally>>> = {
  format: async () =>
    addTallies([
      await runCheck('format', ['biome', 'format', 'src', 'test', 'bench', 'scripts'], command),
      await runCheck('format of C++ and eBPF C', ['scripts/format-native', '--check'], command),
    ]),
  lint: () => runCheck('lint', ['oxlint', '--type-aware', 'src', 'test', 'bench', 'scripts'], command),
  types: () => runCheck('types', ['tsc', '-p', '.'], command),
  gen: () => runCheck('generated files are what gen makes', ['node', 'scripts/gen.ts', '--check'], command),
  unit: () => runNodeTests(testFiles(root, 'test/unit/**/*.test.ts'), quick),
  tidy: () => runTidy(command),
  native: () => runNative(skipsFail, command),
  addon: () => runPrivilegedTests(testFiles(root, 'test/native/**/*.test.ts'), patient),
  mesh: () => runPrivilegedTests(testFiles(root, 'test/mesh/**/*.test.ts'), patient),
  docs: () => runPrivilegedTests(testFiles(root, 'test/docs/**/*.test.ts'), patient),
  fuzz: () => runFuzz(command),
  cluster: () => runPrivilegedTests(testFiles(root, 'test/kube/**/*.test.ts'), { ...patient, timeoutMs: 70 * 60_000 }),
};

/** What is only run when it is named. */
const APART: ReadonlySet<string> = new Set(['cluster']);

const MODES: Readonly<Record<string, readonly string[]>> = {
  presubmit: ['format', 'lint', 'types', 'gen', 'unit'],
  unit: ['unit'],
  native: ['tidy', 'native', 'addon'],
  mesh: ['mesh'],
  docs: ['docs'],
  fuzz: ['fuzz'],
  cluster: ['cluster'],
};

const modes = process.argv.slice(2);
const unknown = modes.filter((mode) => MODES[mode] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`unknown mode: ${unknown.join(', ')}; there are ${Object.keys(MODES).join(', ')}\n`);
  process.exit(64);
}
const whole = Object.keys(STAGES).filter((name) => !APART.has(name));
const wanted = new Set(modes.length === 0 ? whole : modes.flatMap((mode) => MODES[mode] ?? []));

const tallies: Tally[] = [];
for (const [name, stage] of Object.entries(STAGES)) {
  if (!wanted.has(name)) continue;
  const begun = performance.now();
  process.stdout.write(`${name}\n`);
  const tally = await stage();
  tallies.push(tally);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
  process.stdout.write(`  ${name}: ${tally.passed} hold, ${tally.failed} do not${skipped} (${seconds} s)\n`);
}

const total = addTallies(tallies);
if (total.failures.length > 0)
  process.stdout.write(`\nWhat failed:\n${total.failures.map((line) => `  ${line}\n`).join('')}`);
process.stdout.write(
  `\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}\n`,
);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
