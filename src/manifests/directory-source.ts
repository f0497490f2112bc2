// SPDX-License-Identifier: Apache-2.0

// 1. A scan lists the directory and reads every file.
// 2. A file that says something else than before is waited for, until it says the same for one debounce.
// 3. What has settled replaces what the store had. Everything that could not be looked at keeps what it said last, and
//    so does a file that has been emptied: a full disk leaves that behind, and a deletion says what it means.

import { type FSWatcher, watch } from 'node:fs';
import { relative } from 'node:path';
import { setTimeout as sleep, setImmediate as turnOfLoop } from 'node:timers/promises';
import type { Cancel, Clock } from '../model/clock.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import type { StandingProblem } from '../objects/problem.ts';
import { type ParsedManifest } from '../objects/read-objects.ts';
import { type FileContent, type Listing, listManifests, readManifest } from './directory-listing.ts';
import { ManifestsMissing } from './manifests-missing.ts';
import { emptiedManifest, parseManifest } from './parse-manifest.ts';
import { UnsettledFiles } from './unsettled-files.ts';

export interface DirectorySourceOptions {
  readonly directory: string;
  /** The store's name for this source. */
  readonly source: string;
  /** How long to wait for a burst of writes to end, and for a changed file to hold still. Default 50. */
  readonly debounceMs?: number;
  /** How often to look even if no event came: network file systems and lost watches. Default 2,000. */
  readonly rescanMs?: number;
}

/** Throws `ManifestsMissing` when the directory cannot be read: then there must be something from an earlier run. */
export async function requireManifests(directory: string, signal?: AbortSignal): Promise<void> {
  try {
    await listManifests(directory, signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ManifestsMissing(
      `the manifests in ${directory} cannot be read, and no earlier run has left any: ${(cause as Error).message}. Mount or make the directory, or point --manifests to where it is`,
      { cause },
    );
  }
}

interface FileText {
  /** Absent: what an earlier run had in force. */
  readonly text?: string;
  readonly manifest: ParsedManifest;
}

// How often a file that changes on every look is looked at again before the rest goes on without it.
const LOOKS_MAX = 20;

/**
 * Keeps an object store at what a directory of YAML and JSON files says.
 *
 * Files are read by content on every scan, so that atomic renames, the symlink swap of a ConfigMap and edits within
 * one clock tick are all the same to it; unchanged text is not parsed again. A file that is being written is not taken
 * half. What cannot be read, or holds nothing any more, leaves everything as it was, and is reported: objects go with
 * their file, or when what is left of it says something else, be it a comment.
 */
export class DirectorySource {
  readonly #options: Required<DirectorySourceOptions>;
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  #texts = new Map<string, FileText>();
  readonly #unsettled: UnsettledFiles;
  #identity = '';
  #watchers = new Map<string, FSWatcher>();
  #timer: Cancel | undefined;
  #scanning: Promise<void> | undefined;
  #again = false;
  readonly #ending = new AbortController();

  constructor(options: DirectorySourceOptions, store: ObjectStore, clock: Clock) {
    this.#options = { debounceMs: 50, rescanMs: 2_000, ...options };
    this.#store = store;
    this.#clock = clock;
    this.#unsettled = new UnsettledFiles(clock, this.#options.debounceMs);
  }

  /**
   * Starts from what an earlier run had in force, reads the directory once and then follows it.
   *
   * Resolves when the store has what is there now. Rejects with `ManifestsMissing`, and closed as soon as `signal` is aborted.
   */
  async open(restored: readonly ParsedManifest[] = [], signal?: AbortSignal): Promise<void> {
    const giveUp = () => this.close();
    signal?.addEventListener('abort', giveUp);
    try {
      await this.#start(restored);
    } finally {
      signal?.removeEventListener('abort', giveUp);
      signal?.throwIfAborted();
    }
  }

  async #start(restored: readonly ParsedManifest[]): Promise<void> {
    this.#texts = new Map(restored.map((manifest) => [manifest.file, { manifest }]));
    this.#store.replace(this.#options.source, restored);
    if (restored.length === 0) await requireManifests(this.#options.directory, this.#ending.signal);
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
    this.#ending.abort();
    this.#timer?.();
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  get #closed(): boolean {
    return this.#ending.signal.aborted;
  }

  async #scanUntilQuiet(): Promise<void> {
    let looks = 0;
    do {
      this.#again = false;
      looks += 1;
      await this.#scan(looks === LOOKS_MAX);
      if (this.#unsettled.size > 0 && looks < LOOKS_MAX) {
        this.#again = true;
        // Not by the clock, whose timers would let the process end while it starts.
        await sleep(this.#options.debounceMs);
      }
    } while (this.#again && !this.#closed && looks < LOOKS_MAX);
  }

  async #scan(last: boolean): Promise<void> {
    const { directory, source } = this.#options;
    const problems: StandingProblem[] = [];
    const listing = await listManifests(directory, this.#ending.signal).catch((error: Error) => error.message);
    if (this.#closed) return;
    const reason = typeof listing === 'string' ? listing : this.#doubtOf(listing);
    if (typeof listing === 'string' || reason !== undefined) {
      this.#unsettled.retain(new Map());
      const stays = this.#texts.size > 0;
      const so = stays ? ', so what was read last stays in force' : '';
      problems.push(atFile(directory, `cannot be read${so}: ${reason ?? ''}`, stays));
    } else {
      this.#identity = listing.identity;
      this.#follow(listing.directories);
      await this.#readAll(listing, problems);
      if (this.#closed) return;
      if (last) this.#unsettled.giveUp();
      for (const file of this.#unsettled.restless)
        problems.push(atFile(file, 'changes all the time', this.#texts.has(file)));
    }
    this.#store.replace(
      source,
      [...this.#texts.values()].map(({ manifest }) => manifest),
      problems,
    );
  }

  // A volume that is not mounted leaves an empty directory: nobody has removed the manifests then.
  #doubtOf(listing: Listing): string | undefined {
    const isEmpty = listing.files.length === 0 && listing.unknown.size === 0;
    if (!isEmpty || this.#texts.size === 0 || listing.identity === this.#identity) return undefined;
    return 'it is empty and not the directory that was read before: mount it, or put a file into it, even an empty one';
  }

  async #readAll({ files, unknown }: Listing, problems: StandingProblem[]): Promise<void> {
    const { directory } = this.#options;
    const next = new Map<string, FileText>();
    const keep = (file: string): void => {
      const before = this.#texts.get(file);
      if (before !== undefined) next.set(file, before);
    };
    for (const [path, reason] of unknown) problems.push(this.#unreadable(relative(directory, path), reason));
    const below = [...unknown.keys()].map((path) => relative(directory, path));
    const now = new Map<string, FileContent | undefined>();
    for (const file of this.#texts.keys()) {
      if (below.some((path) => isAtOrBelow(file, path))) keep(file);
      else now.set(file, undefined);
    }
    for (const path of files) {
      if (this.#closed) return;
      const file = relative(directory, path);
      try {
        now.set(file, await readManifest(path));
      } catch (error) {
        now.delete(file);
        keep(file);
        problems.push(this.#unreadable(file, (error as Error).message));
      }
    }
    for (const [file, content] of now) {
      if (content !== undefined && this.#texts.get(file)?.text === content.text) {
        this.#unsettled.forget(file);
        keep(file);
      } else if (!this.#unsettled.settles(file, content)) keep(file);
      else if (content !== undefined) {
        // Many files take long to parse, and whoever asks us to end meanwhile has to be heard.
        await turnOfLoop();
        if (this.#closed) return;
        next.set(file, { text: content.text, manifest: this.#parse(file, content.text) });
      }
    }
    this.#unsettled.retain(now);
    this.#texts = next;
  }

  #parse(file: string, text: string): ParsedManifest {
    const isEmptied = text.trim() === '' && this.#store.hasInForce(this.#options.source, file);
    return isEmptied ? emptiedManifest(file) : parseManifest(file, text);
  }

  #unreadable(path: string, reason: string): StandingProblem {
    const stays = [...this.#texts.keys()].some((file) => isAtOrBelow(file, path));
    return atFile(path, `cannot be read${stays ? ', so what it said last stays in force' : ''}: ${reason}`, stays);
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

function isAtOrBelow(file: string, path: string): boolean {
  return file === path || file.startsWith(`${path}/`);
}

function atFile(file: string, reason: string, stays: boolean): StandingProblem {
  return { file, line: 1, object: '', field: '', reason, standing: stays ? 'last-good' : 'nothing' };
}
