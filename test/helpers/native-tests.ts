// SPDX-License-Identifier: Apache-2.0

import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { type CommandOptions, runCheck, runCtest } from './command-tests.ts';
import { addTallies, single, type Tally } from './tally.ts';

/** The builds of native/test, a directory each: what CMake is told. */
const BUILDS = { plain: [], asan: ['-DSANITIZE=address'], tsan: ['-DSANITIZE=thread'] } as const;
const FUZZ_BUILD = ['-DFUZZ=ON', '-DCMAKE_C_COMPILER=clang', '-DCMAKE_CXX_COMPILER=clang++'] as const;

// Per target; a change to a parser deserves an hour, `npm run fuzz` is the door to that.
const FUZZ_SECONDS = 10;

async function build(kind: string, settings: readonly string[], options: CommandOptions): Promise<Tally> {
  const directory = join('build/native-test', kind);
  const configured = await runCheck(
    `native ${kind}: configure`,
    ['cmake', '-S', 'native/test', '-B', directory, ...settings],
    options,
  );
  if (configured.failed > 0) return configured;
  const jobs = String(availableParallelism());
  return runCheck(`native ${kind}: build`, ['cmake', '--build', directory, '--parallel', jobs], options);
}

/** Builds and runs the C++ tests three times: as they are, and under each family of sanitizers. */
export async function runNative(skipsFail: boolean, options: CommandOptions): Promise<Tally> {
  const tallies: Tally[] = [];
  for (const [kind, settings] of Object.entries(BUILDS)) {
    const built = await build(kind, settings, options);
    tallies.push(built);
    if (built.failed > 0) continue;
    tallies.push(await runCtest(`native ${kind}`, join('build/native-test', kind), skipsFail, options));
  }
  return addTallies(tallies);
}

/** Builds the fuzz targets and runs each for a short while from its seeds. */
export async function runFuzz(options: CommandOptions): Promise<Tally> {
  const built = await build('fuzz', FUZZ_BUILD, options);
  if (built.failed > 0) return built;
  const targets = globSync('build/native-test/fuzz/*_fuzz', { cwd: options.root }).filter(
    (path) => !basename(path).includes('.'),
  );
  if (targets.length === 0) return single('fuzz', 'the build made no fuzz target');
  const tallies = [built];
  for (const target of targets) {
    tallies.push(
      await runCheck(
        basename(target),
        [target, `-max_total_time=${FUZZ_SECONDS}`, '-verbosity=0', '-print_final_stats=0'],
        options,
      ),
    );
  }
  return addTallies(tallies);
}
