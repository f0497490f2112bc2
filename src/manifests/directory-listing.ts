// SPDX-License-Identifier: Apache-2.0

import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../model/file-error.ts';
import { MANIFEST_BYTES_MAX } from './parse-manifest.ts';

const DEPTH_MAX = 16;
const MANIFEST_NAME = /\.(ya?ml|json)$/;

/** How much may be at and below a directory of manifests before it is taken for another one. */
export interface ListingBounds {
  readonly manifests: number;
  /** Files and directories, whatever their names. */
  readonly entries: number;
}

const BOUNDS: ListingBounds = { manifests: 10_000, entries: 100_000 };

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
 * cannot be looked at, and what has the name of a manifest and is no file, is `unknown`. Rejects when the directory
 * itself cannot be read, when there is more than the bounds allow, and as soon as `signal` is aborted.
 */
export async function listManifests(root: string, signal?: AbortSignal, bounds = BOUNDS): Promise<Listing> {
  const files: string[] = [];
  const directories: string[] = [];
  const unknown = new Map<string, string>();
  let entries = 0;
  const look = async (path: string, depth: number): Promise<void> => {
    // Follows symlinks: a ConfigMap's files are symlinks into a directory that is swapped.
    const stats = await stat(path);
    if (MANIFEST_NAME.test(path) && !stats.isFile()) throw new Error(`is ${describe(stats)}, not a file; ${ADVICE}`);
    if (stats.isDirectory()) {
      if (depth > DEPTH_MAX) throw new Error(`more than ${DEPTH_MAX} directories deep`);
      await walk(path, depth);
    } else if (MANIFEST_NAME.test(path)) files.push(path);
    if (files.length > bounds.manifests) throw new TooMuch(`${bounds.manifests} manifests`, path);
  };
  const walk = async (directory: string, depth: number): Promise<void> => {
    const names = await readdir(directory);
    directories.push(directory);
    for (const name of names.sort()) {
      if (name.startsWith('.')) continue;
      const path = join(directory, name);
      entries += 1;
      if (entries > bounds.entries) throw new TooMuch(`${bounds.entries} files and directories`, path);
      signal?.throwIfAborted();
      try {
        await look(path, depth + 1);
      } catch (error) {
        if (error instanceof TooMuch || signal?.aborted === true) throw error;
        const reason = isMissing(error) ? await findDangling(path) : (error as Error).message;
        if (reason !== undefined) unknown.set(path, reason);
      }
    }
  };
  const { dev, ino } = await stat(root);
  await walk(root, 0);
  return { identity: `${dev}:${ino}`, files, directories, unknown };
}

const ADVICE = 'remove it, or give it another name';

function describe(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}

/** Says of a symbolic link that leads nowhere where it leads; `undefined` for what is really not there. */
async function findDangling(path: string): Promise<string | undefined> {
  try {
    return `is a symbolic link to ${await readlink(path)}, which does not exist; ${ADVICE}`;
  } catch {
    return undefined;
  }
}

class TooMuch extends Error {
  constructor(bound: string, path: string) {
    super(
      `there are more than ${bound} (the first beyond that is ${path}); keep manifests in a directory of their own`,
    );
  }
}

/** What a file says, and when it was written: the same text written anew is not at rest. */
export interface FileContent {
  readonly text: string;
  readonly writtenNs: bigint;
}

/** `undefined` when there is no such file. Rejects when it cannot be read; never waits for a writer, as pipes do. */
export async function readManifest(path: string): Promise<FileContent | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile()) throw new Error('is not a file any more');
    if (stats.size > MANIFEST_BYTES_MAX) throw new Error(`larger than ${MANIFEST_BYTES_MAX} bytes; split it`);
    return { text: await handle.readFile('utf8'), writtenNs: stats.mtimeNs };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  } finally {
    await handle?.close();
  }
}
