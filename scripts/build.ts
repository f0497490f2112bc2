// SPDX-License-Identifier: Apache-2.0
//
// Builds the addon (build/Release/groundwire.node) and the eBPF objects: CMake, driven by cmake-js. What is up to date
// is left alone. `--debug` builds without optimisation. A warning ends the build in CI alone.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { missingPackages } from './missing-packages.ts';

const root = join(import.meta.dirname, '..');

function run(args: readonly string[]): void {
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const result = spawnSync(process.execPath, [cmakeJs, ...args], { cwd: root, stdio: 'inherit' });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0) {
    console.error(`build: cmake-js ${args[0]} failed; the first error above says why`);
    process.exit(1);
  }
}

const missing = missingPackages('build', readFileSync(join(root, 'scripts/setup-packages'), 'utf8'));
if (missing.length > 0) {
  console.error(`build: missing on this machine: ${missing.join(' ')}`);
  console.error(`build: as root:  apt-get install ${missing.join(' ')}`);
  process.exit(69);
}

// Not build/ itself: node-gyp keeps its own Makefile there when the build comes through binding.gyp.
const warningsFail = `--CDGROUNDWIRE_WERROR=${process.env.CI === 'true' ? 'ON' : 'OFF'}`;
const debug = process.argv.includes('--debug') ? ['--debug'] : [];
const options = ['--out', 'build/cmake', warningsFail, ...debug];
// cmake-js would take a build directory that was configured for another Node or mode as it is; configuring is quick.
run(['configure', ...options]);
run(['build', ...options, '--parallel', String(availableParallelism())]);
