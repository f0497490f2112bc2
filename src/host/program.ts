// SPDX-License-Identifier: Apache-2.0

import { execFile } from 'node:child_process';

// Programs of iproute2 answer in milliseconds; one that does not is stuck and must not hold up the other pods.
const PROGRAM_TIMEOUT_MS = 10_000;

/** A program that failed, with what it said. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Runs a program with arguments and returns what it printed; throws `ProgramError` with its own words when it fails. */
export async function runProgram(program: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { timeout: PROGRAM_TIMEOUT_MS, maxBuffer: 1 << 20 },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const missing = error.code === 'ENOENT' ? `${program} is not installed` : stderr.trim() || error.message;
        reject(new ProgramError(`${program} ${args.join(' ')}: ${missing}`, { cause: error }));
      },
    );
    child.stdin?.on('error', () => {}); // A program that ended early says why on its own.
    child.stdin?.end(input ?? '');
  });
}
