// SPDX-License-Identifier: Apache-2.0

// What the commands that run until they are stopped have in common.

import type { Config } from '../config/table.ts';
import { KernelError } from '../engine/kernel-error.ts';
import { NodeBusy } from '../pods/node-home.ts';
import { ProgramError } from '../pods/process.ts';
import { Logger } from '../telemetry/logger.ts';
import type { CommandIo } from './command.ts';
import { CliError, EXIT } from './exit-code.ts';

// Enough for a burst at every connection of a busy node; beyond it lines are dropped and counted.
const LOG_LINES_MAX = 10_000;

/** The log of a service: standard error, so that standard output stays for answers. */
export function openLogger(config: Config<'log'>['log']): Logger {
  return Logger.open(process.stderr, {
    level: config.level,
    format: config.format,
    nowMs: () => Date.now(),
    linesMax: LOG_LINES_MAX,
  });
}

/** Resolves when the service is asked to end; asked once more, it does not wait for anything. */
export async function waitForEnd(io: CommandIo, log: Logger): Promise<void> {
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    let asked = false;
    io.onSignals(['SIGINT', 'SIGTERM'], (one) => {
      if (asked) io.abandon(one);
      asked = true;
      resolve(one);
    });
  });
  log.info('stopping', { signal });
}

/** Fails unless the caller is root; `what` says what it is needed for. */
export function requireRoot(command: string, what: string): void {
  if (process.getuid?.() === 0) return;
  throw new CliError(EXIT.permission, `groundwire ${command} needs root: ${what}; try again with sudo`);
}

/** Turns what went wrong at start into a message and a status; a bug stays what it is. */
export function explainFailure(error: unknown): never {
  if (error instanceof CliError) throw error;
  if (error instanceof NodeBusy) throw new CliError(EXIT.busy, error.message, { cause: error });
  if (error instanceof KernelError) {
    const detail = error.detail === '' ? '' : `\n${error.detail}`;
    throw new CliError(
      EXIT.system,
      `the engine could not be started: ${error.message} (${error.op})${detail}\n\`groundwire doctor\` says what this machine lacks`,
      { cause: error },
    );
  }
  if (error instanceof ProgramError) throw new CliError(EXIT.system, error.message, { cause: error });
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE')
    throw new CliError(
      EXIT.busy,
      `${(error as Error).message}: another program, maybe another agent, has this port; choose another with --api-listen, --ready-listen or --metrics-listen`,
      { cause: error },
    );
  if (code === 'EACCES' || code === 'EPERM')
    throw new CliError(EXIT.permission, (error as Error).message, { cause: error });
  if (typeof code === 'string' && code.startsWith('E'))
    throw new CliError(EXIT.file, (error as Error).message, { cause: error });
  if (error instanceof Error) throw new CliError(EXIT.unavailable, error.message, { cause: error });
  throw error;
}
