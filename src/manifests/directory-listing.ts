// SPDX-License-Identifier: Apache-2.0

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_BYTES_MAX } from './parse-manifest.ts';

const FILES_MAX = 10_000;
const DEPTH_MAX = 16;

/** What a directory holds. */
export interface Listing {
  /** Which directory it is: a mount point without its mount is another one. */
  readonly identity: string;
  readonly files: readonly string[];
  readonly directories: readonly string[];
  /** Paths of which it cannot be said what they are, or what is below them; with the reason. */
  readonly unknown: ReadonlyMap<string, string>;
}

/**
 * Lists the manifests at and below a directory.
 *
 * Names that begin with a dot are left out, as editors and ConfigMaps use them. Only what does not exist is absent: what
 * cannot be looked at is `unknown`. Rejects when the directory itself cannot be read.
 */
export async function listManifests(root: string): Promise<Listing> {
  const files: string[] = [];
  const directories: string[] = [];
  const unknown = new Map<string, string>();
  const look = async (path: string, depth: number): Promise<void> => {
    // Follows symlinks: a ConfigMap's files are symlinks into a directory that is swapped.
    const stats = await stat(path);
    if (stats.isDirectory()) {
      if (depth > DEPTH_MAX) throw new Error(`more than ${DEPTH_MAX} directories deep`);
      await walk(path, depth);
    } else if (stats.isFile() && /\.(ya?ml|json)$/.test(path)) files.push(path);
    if (files.length > FILES_MAX) throw new TooManyFiles();
  };
  const walk = async (directory: string, depth: number): Promise<void> => {
    const names = await readdir(directory);
    directories.push(directory);
    for (const name of names.sort()) {
      if (name.startsWith('.')) continue;
      const path = join(directory, name);
      try {
        await look(path, depth + 1);
      } catch (error) {
        if (error instanceof TooManyFiles) throw error;
        if (!isAbsent(error)) unknown.set(path, (error as Error).message);
      }
    }
  };
  const { dev, ino } = await stat(root);
  await walk(root, 0);
  return { identity: `${dev}:${ino}`, files, directories, unknown };
}

class TooManyFiles extends Error {
  override readonly message = `more than ${FILES_MAX} files`;
}

/** What a file says, and when it was written: the same text written anew is not at rest. */
export interface FileContent {
  readonly text: string;
  readonly writtenNs: bigint;
}

/** `undefined` when there is no such file. Rejects when it cannot be read. */
export async function readManifest(path: string): Promise<FileContent | undefined> {
  try {
    const { size, mtimeNs } = await stat(path, { bigint: true });
    if (size > MANIFEST_BYTES_MAX) throw new Error(`larger than ${MANIFEST_BYTES_MAX} bytes; split it`);
    return { text: await readFile(path, 'utf8'), writtenNs: mtimeNs };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
