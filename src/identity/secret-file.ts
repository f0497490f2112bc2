// SPDX-License-Identifier: Apache-2.0

import { linkSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { writeTemporary } from '../host/atomic-file.ts';
import { isMissing } from '../model/file-error.ts';

/** A file that holds a secret cannot be used as it is; the message says what to do. */
export class SecretFileError extends Error {
  override readonly name = 'SecretFileError';
}

/**
 * Reads a secret, or makes it when the file does not exist.
 *
 * The file appears whole, with mode 0600, or not at all, and of two processes that make it at once both get the same.
 * Throws `SecretFileError` when others than the owner can read or write it.
 */
export function readOrCreateSecret(path: string, make: () => string): string {
  try {
    return readSecret(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const temporary = writeTemporary(path, make(), 0o600);
  try {
    // Unlike rename, link does not replace: the first of two makers wins and both read the winner's.
    linkSync(temporary, path);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    unlinkSync(temporary);
  }
  return readSecret(path);
}

/** Reads a secret and refuses one that others can read. */
export function readSecret(path: string): string {
  const { mode } = statSync(path);
  if ((mode & 0o077) !== 0) {
    const shown = (mode & 0o777).toString(8);
    throw new SecretFileError(
      `${path} has mode 0${shown}: others than its owner can reach the key. Run: chmod 600 ${path}, and replace the key if someone may have read it`,
    );
  }
  return readFileSync(path, 'utf8');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
