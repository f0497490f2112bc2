// SPDX-License-Identifier: Apache-2.0

import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { addTallies, EMPTY_TALLY, single, type Tally } from './tally.ts';

export interface CommandOptions {
  readonly root: string;
  readonly timeoutMs: number;
}

interface Finished {
  readonly code: number;
  readonly output: string;
}

function runCommand(command: readonly string[], options: CommandOptions): Promise<Finished> {
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    // A group of its own, so that a command that hangs ends with all that it started.
    const child = spawn(program, args, { cwd: options.root, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    const collect = (text: string) => (output += text);
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    const deadline = setTimeout(() => {
      output += `\nended after ${options.timeoutMs} ms, the bound of this step\n`;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, options.timeoutMs);
    child.on('error', (error) => (output += error.message));
    child.on('close', (code) => {
      clearTimeout(deadline);
      resolve({ code: code ?? 1, output });
    });
  });
}

function showTail(output: string): void {
  process.stdout.write(`${output.trim().split('\n').slice(-60).join('\n').replace(/^/gm, '           ')}\n`);
}

/** A command that holds when it ends with status 0; its output is shown otherwise. */
export async function runCheck(name: string, command: readonly string[], options: CommandOptions): Promise<Tally> {
  const { code, output } = await runCommand(command, options);
  if (code === 0) return single(name);
  process.stdout.write(`  FAILED   ${name} (${command.join(' ')})\n`);
  showTail(output);
  return single(name, `status ${code}`);
}

/**
 * ctest in a build directory: each of its tests whose name matches `only` counts.
 *
 * As many at once as there are processors: each is in a network namespace of its own, and most of them wait most of the time.
 */
export async function runCtest(
  name: string,
  directory: string,
  only: string,
  skipsFail: boolean,
  options: CommandOptions,
): Promise<Tally> {
  const atOnce = String(availableParallelism());
  const { code, output } = await runCommand(
    ['ctest', '--test-dir', directory, '-R', only, '--output-on-failure', '--timeout', '300', '--parallel', atOnce],
    options,
  );
  const summary = /(\d+) tests failed out of (\d+)/.exec(output);
  if (summary === null) {
    showTail(output);
    return single(name, `ctest ran no test (status ${code})`);
  }
  const [failed, total] = [Number(summary[1]), Number(summary[2])];
  const skipped = output.match(/\*\*\*Skipped/g)?.length ?? 0;
  if (failed > 0 || skipped > 0) showTail(output);
  const failures = [
    ...output.matchAll(/^\s+\d+ - (\S+) \((?:Failed|Timeout|.*Exception.*|SEGFAULT|Subprocess aborted|Not Run)/gm),
  ].map((match) => `${name}: ${match[1]}`);
  const counted: Tally = { passed: total - failed - skipped, failed, skipped: skipsFail ? 0 : skipped, failures };
  const skips =
    skipsFail && skipped > 0
      ? { ...EMPTY_TALLY, failed: skipped, failures: [`${name}: ${skipped} skipped where nothing may be`] }
      : EMPTY_TALLY;
  return addTallies([counted, skips]);
}
