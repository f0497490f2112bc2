// SPDX-License-Identifier: Apache-2.0

// What settings name on disk, looked at before anything is made from it.

import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import { naming, namingAsync } from './setting-error.ts';

/** Reads the file that a setting names; throws `SettingError`. */
export function readNamedFile(flag: string, path: string, hint: string): string {
  return naming({ flag, value: path, tried: 'read', hint }, () => readFileSync(path, 'utf8'));
}

/** Makes the directory `path`, which lies at or below the one that a setting names; throws `SettingError`. */
export function makeNamedDirectory(flag: string, value: string, path: string, mode?: number): void {
  const use = { flag, value, tried: 'made', hint: 'name a directory that is there or can be made' };
  naming(use, () => makeDirectories(path, mode));
}

/** Whether there is such a file. Throws when that cannot be seen, rather than taking it for absent. */
export function fileExists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Runs what writes below the directory of `--state-dir`; throws `SettingError` for what the system refuses. */
export function writingState<T>(directory: string, run: () => Promise<T>): Promise<T> {
  const hint = 'name a directory that can be written to';
  return namingAsync({ flag: 'state-dir', value: directory, tried: 'written to', hint }, run);
}

// Not `recursive`: Node tries forever below a directory like /proc, that takes none.
function makeDirectories(path: string, mode: number | undefined): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  if (found === undefined) makeDirectories(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Somebody else was faster, or it is a file: that is told by whoever looks next.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}
