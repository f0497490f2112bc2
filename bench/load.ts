// SPDX-License-Identifier: Apache-2.0

import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from '../src/harness/shell.ts';

/** The port that swallows; the next one echoes. */
export const SWALLOW_PORT = 7001;
export const ECHO_PORT = SWALLOW_PORT + 1;

const SOURCE = fileURLToPath(new URL('load.cc', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../build/bench/load', import.meta.url));

/** Compiles the load generator when its source is newer. Returns the path of the program. */
export async function buildLoad(): Promise<string> {
  if (existsSync(PROGRAM) && statSync(PROGRAM).mtimeMs >= statSync(SOURCE).mtimeMs) return PROGRAM;
  mkdirSync(join(PROGRAM, '..'), { recursive: true });
  const flags = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-pthread'];
  await must(['g++', ...flags, SOURCE, '-o', PROGRAM], { timeoutMs: 120_000 });
  return PROGRAM;
}
