// SPDX-License-Identifier: Apache-2.0

// Files that appear whole or not at all: written under another name, brought to disk, then renamed or linked.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces a file in one step: a reader sees the old content or the new, also after a crash. */
export function writeFileAtomically(path: string, content: string, mode: number): void {
  const temporary = writeTemporary(path, content, mode);
  try {
    renameSync(temporary, path);
  } catch (error) {
    // The content may be a secret; a name that nobody knows is no place for it.
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** `writeFileAtomically`, for content that takes its time. */
export async function writeFileAtomicallyAsync(path: string, content: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = temporaryName(path);
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.chmod(mode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Writes a file beside `path` that nothing else uses, and brings it to disk. Returns its name. */
export function writeTemporary(path: string, content: string, mode: number): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = temporaryName(path);
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

function temporaryName(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`;
}
