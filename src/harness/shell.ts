// SPDX-License-Identifier: Apache-2.0

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { isSystemError } from '../config/setting-error.ts';

/** How a command that ran to its end came out. */
export interface Outcome {
  /** Exit status; 128 + signal when a signal ended it, as a shell counts. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Bound in time; the command is killed then, with what it started. Default 30,000 ms. */
  readonly timeoutMs?: number;
  readonly input?: string;
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

/** Runs a command to its end and never throws for its exit status; rejects only when it cannot be started. */
export function run(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<Outcome> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    // In a session of its own: a Ctrl-C, or a terminal that closes, is for us, who may be in the middle of cleaning up.
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    let stdout = '';
    let stderr = '';
    // All that it started as well: what lives on keeps its output open, and us waiting.
    const deadline = setTimeout(() => killGroup(child), options.timeoutMs ?? 30_000);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A command may end before it has read its input.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    child.on('error', (cause) => {
      clearTimeout(deadline);
      reject(new Error(`${program} cannot be started`, { cause }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(deadline);
      resolve({ code: code ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? 0), stdout, stderr });
    });
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // Nobody of the group is left; what holds the output has gone elsewhere.
    if (!isSystemError(error) || error.code !== 'ESRCH') throw error;
  }
}

/** Runs a command that has to succeed. Returns its standard output; the error carries the command and what it said. */
export async function must(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<string> {
  const outcome = await run(command, options);
  if (outcome.code === 0) return outcome.stdout;
  const said = (outcome.stderr || outcome.stdout).trim();
  throw new Error(`${command.join(' ')} ended with status ${outcome.code}: ${said}`);
}

/** A program that runs in the background, with its output in a file. */
export interface Background {
  readonly command: readonly string[];
  readonly child: ChildProcess;
  readonly logFile: string;
  /** Exit status once it has ended. */
  readonly ended: Promise<number>;
  log(): string;
  /** Asks it to end, insists after `graceMs`, and waits. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<number>;
}

/**
 * Starts a program in the background. It gets SIGTERM from the kernel when this process dies, however it dies,
 * so that a `kill -9` of ours does not leave it running.
 */
export function start(command: readonly [string, ...string[]], logFile: string): Background {
  const output = openSync(logFile, 'a');
  // In a session of its own: a Ctrl-C is for us, who then end things in order.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...command], {
    stdio: ['ignore', output, output],
    detached: true,
  });
  closeSync(output);
  const ended = new Promise<number>((resolve) => {
    child.on('error', () => resolve(127));
    child.on('close', (code, signal) => resolve(code ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? 0)));
  });
  return {
    command,
    child,
    logFile,
    ended,
    log: () => readFileSync(logFile, 'utf8'),
    async stop(signal = 'SIGTERM', graceMs = 10_000) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const insist = setTimeout(() => child.kill('SIGKILL'), graceMs);
      try {
        return await ended;
      } finally {
        clearTimeout(insist);
      }
    },
  };
}

/** Waits for `ms`. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Asks again and again until the answer is not `undefined`.
 *
 * Returns the answer; throws after `timeoutMs` with `what` and the last error, if one was thrown.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 20_000,
  intervalMs = 50,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined) return answer;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`, { cause });
    await sleep(intervalMs);
  }
}
