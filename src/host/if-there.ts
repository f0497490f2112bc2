// SPDX-License-Identifier: Apache-2.0

// Reading what may be absent. Only what is not there is absent: what cannot be read (EMFILE, EACCES, EIO) may be there, and
// who acts on its absence must not be told so.

import { readdir, readFile } from 'node:fs/promises';

import { isMissing } from '../model/file-error.ts';

/** `undefined` where there is no such file; throws when it cannot be read. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** No names where there is no such directory; throws when it cannot be read. */
export async function listIfThere(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
