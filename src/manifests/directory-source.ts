// SPDX-License-Identifier: Apache-2.0

import { type FSWatcher, watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Cancel, Clock } from '../model/clock.ts';
import type { ObjectStore } from './object-store.ts';
import { MANIFEST_BYTES_MAX, type ParsedManifest, parseManifest } from './parse-manifest.ts';
import type { ManifestProblem } from './problem.ts';

export interface DirectorySourceOptions {
  readonly directory: string;
  /** The store's name for this source. */
  readonly source: string;
  /** How long to wait for a burst of writes to end. Default 50. */
  readonly debounceMs?: number;
  /** How often to look even if no event came: network file systems and lost watches. Default 2,000. */
  readonly rescanMs?: number;
}

const FILES_MAX = 10_000;
const DEPTH_MAX = 16;

/**
 * Keeps an object store at what a directory of YAML and JSON files says.
 *
 * Files are read by content on every scan, so that atomic renames, the symlink swap of a ConfigMap and edits within
 * one clock tick are all the same to it; unchanged text is not parsed again. Names that begin with a dot are left out,
 * as editors and ConfigMaps use them. A directory that cannot be read leaves everything as it was, and is reported.
 */
export class DirectorySource {
  readonly #options: Required<DirectorySourceOptions>;
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  #texts = new Map<string, { readonly text: string; readonly manifest: ParsedManifest }>();
  #watchers = new Map<string, FSWatcher>();
  #timer: Cancel | undefined;
  #scanning: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(options: DirectorySourceOptions, store: ObjectStore, clock: Clock) {
    this.#options = { debounceMs: 50, rescanMs: 2_000, ...options };
    this.#store = store;
    this.#clock = clock;
  }

  /** Reads the directory once and then follows it. Resolves when the store has what is there now. */
  async open(): Promise<void> {
    await this.rescan();
    this.#schedule(this.#options.rescanMs);
  }

  /** Reads the directory now. Calls that overlap share the scans: one under way and one after it. */
  async rescan(): Promise<void> {
    if (this.#scanning !== undefined) {
      this.#again = true;
      return this.#scanning;
    }
    this.#scanning = this.#scanUntilQuiet();
    try {
      await this.#scanning;
    } finally {
      this.#scanning = undefined;
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.();
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #scanUntilQuiet(): Promise<void> {
    do {
      this.#again = false;
      await this.#scan();
    } while (this.#again && !this.#closed);
  }

  async #scan(): Promise<void> {
    const { directory, source } = this.#options;
    const problems: ManifestProblem[] = [];
    const listing = await listFiles(directory);
    if (this.#closed) return;
    if (typeof listing === 'string') {
      problems.push(atFile(directory, `cannot be read, so what was read last stays in force: ${listing}`));
      this.#store.replace(source, this.#manifests(), problems);
      return;
    }
    this.#follow(listing.directories);
    const next = new Map<string, { text: string; manifest: ParsedManifest }>();
    for (const path of listing.files) {
      const file = relative(directory, path);
      const text = await readText(path);
      const before = this.#texts.get(file);
      if (typeof text === 'object') {
        // Gone between listing and reading: not there. Unreadable: what it said last stays.
        if (text.gone) continue;
        problems.push(atFile(file, `cannot be read: ${text.reason}`));
        if (before !== undefined) next.set(file, before);
      } else next.set(file, before?.text === text ? before : { text, manifest: parseManifest(file, text) });
    }
    if (this.#closed) return;
    this.#texts = next;
    this.#store.replace(source, this.#manifests(), problems);
  }

  #manifests(): ParsedManifest[] {
    return [...this.#texts.values()].map(({ manifest }) => manifest);
  }

  #follow(directories: readonly string[]): void {
    for (const [path, watcher] of this.#watchers) {
      if (directories.includes(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    for (const path of directories) {
      if (this.#watchers.has(path)) continue;
      const watcher = tryWatch(path, () => this.#schedule(this.#options.debounceMs));
      if (watcher === undefined) continue;
      watcher.on('error', () => {
        // The directory went away or the watch was lost: the rescan finds out which.
        watcher.close();
        this.#watchers.delete(path);
      });
      this.#watchers.set(path, watcher);
    }
  }

  // The earlier of two wishes wins only for events; a rescan always plans the next one when it is done.
  #schedule(delayMs: number): void {
    if (this.#closed) return;
    this.#timer?.();
    this.#timer = this.#clock.setTimer(delayMs, () => {
      void this.rescan().then(() => this.#schedule(this.#options.rescanMs));
    });
  }
}

function tryWatch(path: string, onEvent: () => void): FSWatcher | undefined {
  try {
    return watch(path, { persistent: false }, onEvent);
  } catch {
    // Out of watches, or gone already; the rescan serves in its place.
    return undefined;
  }
}

function atFile(file: string, reason: string): ManifestProblem {
  return { file, line: 1, object: '', field: '', reason };
}

interface Listing {
  readonly files: readonly string[];
  readonly directories: readonly string[];
}

async function listFiles(root: string): Promise<Listing | string> {
  const files: string[] = [];
  const directories: string[] = [];
  const walk = async (directory: string, depth: number): Promise<void> => {
    directories.push(directory);
    for (const name of (await readdir(directory)).sort()) {
      if (name.startsWith('.')) continue;
      const path = join(directory, name);
      // Follows symlinks: a ConfigMap's files are symlinks into a directory that is swapped.
      const stats = await stat(path).catch(() => undefined);
      if (stats?.isDirectory() && depth < DEPTH_MAX) await walk(path, depth + 1);
      else if (stats?.isFile() && /\.(ya?ml|json)$/.test(name)) files.push(path);
      if (files.length > FILES_MAX) throw new Error(`more than ${FILES_MAX} files`);
    }
  };
  try {
    await walk(root, 0);
  } catch (error) {
    return (error as Error).message;
  }
  return { files, directories };
}

async function readText(path: string): Promise<string | { readonly gone: boolean; readonly reason: string }> {
  try {
    const { size } = await stat(path);
    if (size > MANIFEST_BYTES_MAX) return { gone: false, reason: `larger than ${MANIFEST_BYTES_MAX} bytes; split it` };
    return await readFile(path, 'utf8');
  } catch (error) {
    return { gone: (error as NodeJS.ErrnoException).code === 'ENOENT', reason: (error as Error).message };
  }
}
