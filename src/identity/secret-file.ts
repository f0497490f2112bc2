// SPDX-License-Identifier: Apache-2.0

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
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
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
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

/** Whether there is such a file. Throws when that cannot be seen, rather than taking it for absent. */
export function fileExists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Replaces a file in one step: a reader sees the old content or the new, also after a crash. */
export function writeFileAtomically(path: string, content: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = writeTemporary(path, content, mode);
  try {
    renameSync(temporary, path);
  } catch (error) {
    // The content may be a secret; a name that nobody knows is no place for it.
    rmSync(temporary, { force: true });
    throw error;
  }
}

function writeTemporary(path: string, content: string, mode: number): string {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const fd = openSync(temporary, 'wx', mode);
  try {
    // The mode given to open is cut by the umask.
    fchmodSync(fd, mode);
    // Not writeSync: on a disk that fills up that writes a part and does not say so.
    writeFileSync(fd, content);
    fsyncSync(fd);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    closeSync(fd);
  }
  return temporary;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
