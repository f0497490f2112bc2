// SPDX-License-Identifier: Apache-2.0

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type CommandOptions, runCheck, runCtest } from './command-tests.ts';
import { addTallies, type Tally } from './tally.ts';

/** One build of native/test: its directory below build/, and what CMake is told. */
interface Build {
  readonly name: string;
  readonly flags: readonly string[];
}

const BUILDS: readonly Build[] = [
  { name: 'plain', flags: [] },
  { name: 'asan', flags: ['-DSANITIZE=address'] },
  { name: 'tsan', flags: ['-DSANITIZE=thread'] },
];
// Its targets run 10 s each; a change to a parser deserves an hour with -max_total_time of the target itself.
const FUZZ: Build = { name: 'fuzz', flags: ['-DFUZZ=ON', '-DCMAKE_C_COMPILER=clang', '-DCMAKE_CXX_COMPILER=clang++'] };

async function buildAndRun(build: Build, only: string, skipsFail: boolean, options: CommandOptions): Promise<Tally> {
  const directory = join('build/native-test', build.name);
  const configure = ['cmake', '-S', 'native/test', '-B', directory, ...build.flags];
  const make = ['cmake', '--build', directory, '--parallel', String(availableParallelism())];
  const tallies: Tally[] = [];
  for (const [step, command] of [
    ['configure', configure],
    ['build', make],
  ] as const) {
    const tally = await runCheck(`native ${build.name}: ${step}`, command, options);
    tallies.push(tally);
    if (tally.failed > 0) return addTallies(tallies);
  }
  tallies.push(await runCtest(`native ${build.name}`, directory, only, skipsFail, options));
  return addTallies(tallies);
}

/** Builds and runs the C++ tests three times: as they are, and under each family of sanitizers. */
export async function runNative(skipsFail: boolean, options: CommandOptions): Promise<Tally> {
  const tallies: Tally[] = [];
  for (const build of BUILDS) tallies.push(await buildAndRun(build, '.', skipsFail, options));
  return addTallies(tallies);
}

/** clang-tidy over the engine and its binding, by the rules of .clang-tidy: one file a process, as many at once as there are processors. */
export async function runTidy(options: CommandOptions): Promise<Tally> {
  const directory = 'build/native-test/tidy';
  // clang's own command lines: it does not know all of g++'s warnings.
  const compilers = ['-DCMAKE_C_COMPILER=clang', '-DCMAKE_CXX_COMPILER=clang++'];
  const configure = ['cmake', '-S', 'native/test', '-B', directory, '-DCMAKE_EXPORT_COMPILE_COMMANDS=ON', ...compilers];
  const configured = await runCheck('clang-tidy: configure', configure, options);
  if (configured.failed > 0) return configured;
  // Nothing there builds the binding, so clang-tidy takes the command line of a neighbour; Node's headers it must be told.
  const node = ['node-addon-api', 'node-api-headers/include'].map((path) => join(options.root, 'node_modules', path));
  const more = [...node.map((path) => `-isystem${path}`), '-DNAPI_VERSION=9', '-DNAPI_DISABLE_CPP_EXCEPTIONS'];
  const extra = more.map((argument) => `--extra-arg='${argument}'`).join(' ');
  const tidy = `xargs -n 1 -P ${availableParallelism()} clang-tidy-14 --quiet -p ${directory} ${extra}`;
  // Of a file without findings it says only how many it has suppressed, mostly of other people's headers.
  const check = `ls native/core/*/*.cc native/binding/*.cc | ${tidy} 2>&1 | { ! grep -v 'warnings generated'; }`;
  return addTallies([configured, await runCheck('clang-tidy', ['sh', '-c', check], options)]);
}

/** Builds the fuzz targets and runs each for a short while from its seeds. */
export function runFuzz(options: CommandOptions): Promise<Tally> {
  return buildAndRun(FUZZ, '_fuzz$', true, options);
}
