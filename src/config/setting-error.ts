// SPDX-License-Identifier: Apache-2.0

import { getSystemErrorMessage } from 'node:util';
import { errorText } from '../model/error-text.ts';

/** Which setting it is about, what it says, and what to do when it cannot be used. */
export interface SettingUse {
  /** Without dashes. */
  readonly flag: string;
  readonly value: string;
  /** What was tried, as a participle: `read`, `made`, `listened on`. */
  readonly tried: string;
  readonly hint: string;
}

/** The use of a setting that names an address to listen on. */
export function listenUse(flag: string, value: string): SettingUse {
  const hint = 'name a free port on an address of this machine (`ip address`); `ss -ltnp` says who has a port';
  return { flag, value, tried: 'listened on', hint };
}

/** What a setting names cannot be used; the message says what, where and what to do. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
  /** The system's name for what is wrong (`EACCES`); "" when it is the content. */
  readonly code: string;

  constructor(use: SettingUse, cause: unknown) {
    super(
      `--${use.flag} ${use.value} cannot be ${use.tried}: ${reasonOf(use, cause)}; ${adviceOf(cause) ?? use.hint}`,
      {
        cause,
      },
    );
    this.code = isSystemError(cause) ? cause.code : '';
  }
}

/** Runs what depends on a setting; what the system refuses becomes a `SettingError`, anything else stays what it is. */
export function naming<T>(use: SettingUse, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw named(use, error);
  }
}

/** `naming`, for what takes its time. */
export async function namingAsync<T>(use: SettingUse, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw named(use, error);
  }
}

function named(use: SettingUse, error: unknown): unknown {
  return isSystemError(error) ? new SettingError(use, error) : error;
}

function reasonOf({ value }: SettingUse, cause: unknown): string {
  if (!isSystemError(cause)) return errorText(cause);
  const { path } = cause;
  return path === undefined || path === value ? systemReason(cause) : `${systemReason(cause)} (${path})`;
}

/** What to do, where the reason alone says that, whatever it was for. */
export function adviceOf(cause: unknown): string | undefined {
  switch (isSystemError(cause) ? cause.code : '') {
    case 'EACCES':
    case 'EPERM':
      return 'run this as root or as the user who owns it';
    case 'ENOSPC':
      return 'free space on that disk';
    case 'EROFS':
      return 'name a place that can be written to';
    default:
      return undefined;
  }
}

/** What a call on a file or a socket throws. */
interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly path?: string;
}

export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'code' in error && 'errno' in error && typeof error.errno === 'number';
}

/** What the system said, in words: `no such file or directory`. */
export function systemReason(error: SystemError): string {
  return getSystemErrorMessage(error.errno) ?? error.message;
}
