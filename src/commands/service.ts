// SPDX-License-Identifier: Apache-2.0

// What the commands that run until they are stopped have in common.

import { once } from 'node:events';
import { RestoreError } from '../cluster/restore-error.ts';
import { describeConfig } from '../config/render.ts';
import { adviceOf, isSystemError, SettingError, systemReason } from '../config/setting-error.ts';
import type { Config, PartName } from '../config/table.ts';
import { KernelError } from '../engine/kernel-error.ts';
import { LockHeld } from '../host/process-lock.ts';
import { ProgramError } from '../host/program.ts';
import { CertificateAuthorityError } from '../identity/certificate-authority-error.ts';
import { SecretFileError } from '../identity/secret-file.ts';
import { ManifestsMissing } from '../manifests/manifests-missing.ts';
import { AccessError } from '../kubernetes/access-error.ts';
import { ApiError } from '../kubernetes/api-error.ts';
import { systemClock } from '../model/clock.ts';
import { Logger } from '../telemetry/logger.ts';
import type { CommandIo } from './command.ts';
import { CliError, EXIT, type ExitCode } from './exit-code.ts';

// Enough for a burst at every connection of a busy node; beyond it lines are dropped and counted.
const LOG_LINES_MAX = 10_000;

/** The log of a service: standard error, so that standard output stays for answers. */
export function openLogger(config: Config<'log'>['log']): Logger {
  return Logger.open(process.stderr, {
    level: config.level,
    format: config.format,
    nowMs: () => systemClock.nowMs(),
    linesMax: LOG_LINES_MAX,
  });
}

/** Something that runs until it is closed. */
export interface Service {
  close(): Promise<void>;
}

/**
 * Opens a service, logs the configuration that it runs with, and closes it when a signal asks for that; asked once more,
 * it does not wait for anything.
 *
 * Signals are heard from before the start on: one that comes while `open` works aborts its signal, and what `open` has
 * made by then it has to undo. A terminal that hangs up asks like anybody else.
 */
export async function runService(
  io: CommandIo,
  log: Logger,
  config: Partial<Config<PartName>>,
  open: (signal: AbortSignal) => Promise<Service>,
): Promise<ExitCode> {
  const asked = new AbortController();
  const unwatch = io.onSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], (signal) => {
    if (asked.signal.aborted) io.abandon(signal);
    log.info('stopping', { signal });
    asked.abort();
  });
  try {
    const service = await open(asked.signal);
    log.info('configuration in effect', describeConfig(config));
    if (!asked.signal.aborted) await once(asked.signal, 'abort');
    await service.close();
  } catch (error) {
    // Whoever has asked it to end does not need to hear that it did not start.
    if (error !== asked.signal.reason) explainFailure(error);
  } finally {
    unwatch();
  }
  return EXIT.ok;
}

/** Fails unless the caller is root; `what` says what it is needed for. */
export function requireRoot(command: string, what: string): void {
  if (process.getuid?.() === 0) return;
  throw new CliError(EXIT.permission, `groundwire ${command} needs root: ${what}; try again with sudo`);
}

/** Turns what went wrong at start into a message and a status; a bug stays what it is. */
export function explainFailure(error: unknown): never {
  if (error instanceof CliError) throw error;
  if (error instanceof SettingError) throw new CliError(exitCodeOf(error.code), error.message, { cause: error });
  if (error instanceof AccessError) throw new CliError(EXIT.config, error.message, { cause: error });
  if (error instanceof ApiError) throw new CliError(EXIT.unavailable, error.message, { cause: error });
  if (error instanceof SecretFileError) throw new CliError(EXIT.permission, error.message, { cause: error });
  if (error instanceof CertificateAuthorityError) throw new CliError(EXIT.config, error.message, { cause: error });
  if (error instanceof LockHeld) throw new CliError(EXIT.busy, error.message, { cause: error });
  if (error instanceof KernelError && error.code === 'ERR_ENGINE_NOT_BUILT') {
    throw new CliError(EXIT.system, `the engine could not be started: ${error.message}`, { cause: error });
  }
  if (error instanceof KernelError) {
    const detail = error.message.includes(error.detail) ? '' : `\n${error.detail}`;
    throw new CliError(
      EXIT.system,
      `the engine could not be started: ${error.message}${detail}\n\`groundwire doctor\` says what this machine lacks`,
      { cause: error },
    );
  }
  if (error instanceof ManifestsMissing) throw new CliError(EXIT.file, error.message, { cause: error });
  if (error instanceof RestoreError) throw new CliError(EXIT.config, error.message, { cause: error });
  if (error instanceof ProgramError) throw new CliError(EXIT.system, error.message, { cause: error });
  if (isBug(error)) throw error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw new CliError(EXIT.unavailable, message, { cause: error });
  throw new CliError(exitCodeOf(code), explainSystemError(error, message), { cause: error });
}

function exitCodeOf(code: string): ExitCode {
  switch (code) {
    case '':
      return EXIT.config;
    case 'EADDRINUSE':
      return EXIT.busy;
    case 'EACCES':
    case 'EPERM':
      return EXIT.permission;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return EXIT.usage;
    default:
      return EXIT.file;
  }
}

// For a place that no part names by its setting: at least where it is, and what is wrong with it.
function explainSystemError(error: unknown, message: string): string {
  if (!isSystemError(error) || error.path === undefined) return message;
  const advice = adviceOf(error);
  return `${error.path}: ${systemReason(error)}${advice === undefined ? '' : `; ${advice}`}`;
}

// What the parts throw is worded for people. A bug announces itself by an error of the language, or of a wrong call.
function isBug(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  const { code } = error as { readonly code?: unknown };
  if (typeof code === 'string' && code.startsWith('ERR_') && !code.startsWith('ERR_OSSL')) return true;
  return [TypeError, RangeError, ReferenceError, SyntaxError, EvalError].some((kind) => error instanceof kind);
}
