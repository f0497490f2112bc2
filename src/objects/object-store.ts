// SPDX-License-Identifier: Apache-2.0

import { isDeepStrictEqual } from 'node:util';
import { duplicate, type FileChanges, type InForce, SourceState, standingProblems } from './in-force.ts';
import { compareText } from './object-meta.ts';
import { type ObjectSnapshot, ObjectTable } from './object-table.ts';
import type { MeshObject } from './objects.ts';
import { formatProblem, type Notice, noticeText, type StandingProblem } from './problem.ts';
import type { ParsedManifest } from './read-objects.ts';
import { type TellingChanges, Tellings } from './tellings.ts';

export type { ObjectSnapshot } from './object-table.ts';

/** What one file has in force, in a form that can be written down and read again. */
export interface FileInForce {
  readonly file: string;
  readonly objects: readonly { readonly line: number; readonly source: unknown }[];
}

/** An accepted object of a source that came, went, or says something else; as it was written, `undefined` = not there. */
export interface WrittenChange {
  readonly key: string;
  readonly before: unknown;
  readonly now: unknown;
  /** Another source has the same object in force, or had it when `before` was. */
  readonly keptOut: boolean;
}

/** What is to be looked at again since the last time. */
export interface StoreChanges {
  /** Of which another version is in force, or the first, or none any more; in any version. */
  readonly objects: readonly MeshObject[];
  readonly problems: TellingChanges<StandingProblem>;
  /** Of the manifests themselves. */
  readonly notices: TellingChanges<Notice>;
}

type Listener = (snapshot: ObjectSnapshot, source: string) => void;

interface Source {
  readonly state: SourceState;
  /** What is wrong with the source itself. */
  problems: readonly StandingProblem[];
  /** Accepted objects that may be others than when they were taken last, with what they were then. */
  readonly written: Map<string, { readonly before: unknown; readonly keptOut: boolean }>;
  /** Files that may be others than when they were taken last. */
  readonly files: Set<string>;
}

/**
 * The objects of several sources (a directory, the pods that nodes report), the last good version of each.
 *
 * A refused object leaves its last good version in force. One that never had a good version is absent, or, if it is a
 * security object, denies in its scope. A file that cannot be parsed keeps everything it had; one with an object that
 * cannot be named keeps what it does not name any more, for it may be any of that. Where two sources give the same object, the earlier source wins; where two files of one source do, the one that is in force stays, and
 * at first the earlier file name wins. The other is reported.
 * Limits: a change costs what its files hold and did hold, however much else there is.
 */
export class ObjectStore {
  readonly #sources = new Map<string, Source>();
  readonly #listeners = new Set<Listener>();
  readonly #objects = new ObjectTable();
  readonly #problems = new Tellings<StandingProblem>((problem) => `${problem.standing} ${formatProblem(problem)}`);
  readonly #notices = new Tellings<Notice>(noticeText);
  readonly #changed = new Map<string, MeshObject>();

  /** `sources` in order of precedence. */
  constructor(sources: readonly string[]) {
    for (const source of sources)
      this.#sources.set(source, { state: new SourceState(), problems: [], written: new Map(), files: new Set() });
  }

  snapshot(): ObjectSnapshot {
    return this.#objects;
  }

  /** Everything refused at present, in order of source, file and line. */
  problems(): readonly StandingProblem[] {
    const ofSources = [...this.#sources].flatMap(([name, { problems, state }]) => [
      ...problems,
      ...sortedFiles(state).flatMap((file) => this.#problems.of(ownerOf(name, file))),
    ]);
    const duplicates = [...this.#problems.owners()].filter((owner) => owner.startsWith(DUPLICATES)).sort(compareText);
    return [...ofSources, ...duplicates.flatMap((owner) => this.#problems.of(owner))];
  }

  notices(): readonly Notice[] {
    return [...this.#notices.values()];
  }

  /** What changed since this was called last. */
  takeChanges(): StoreChanges {
    const objects = [...this.#changed.values()];
    this.#changed.clear();
    return { objects, problems: this.#problems.takeChanges(), notices: this.#notices.takeChanges() };
  }

  /** What of a source was accepted, or is not any more, since this was called last. */
  takeWritten(source: string): WrittenChange[] {
    const { written, state } = this.#stateOf(source);
    const changes = [...written].map(([key, { before, keptOut }]) => {
      const now = writtenOf(state.winners.get(key));
      return { key, before, now, keptOut: keptOut || this.#isKeptOut(state, key) };
    });
    written.clear();
    return changes.filter(({ before, now }) => before !== now && !isDeepStrictEqual(before, now));
  }

  /** What files of a source have in force that may have changed since this was called last; `undefined`: gone. */
  takeFiles(source: string): Map<string, FileInForce | undefined> {
    const { files, state } = this.#stateOf(source);
    const changes = new Map([...files].map((file) => [file, fileInForce(state, file)]));
    files.clear();
    return changes;
  }

  /** What a source has in force, file by file; `readObjects` makes manifests of it again. */
  inForce(source: string): FileInForce[] {
    const { state } = this.#stateOf(source);
    return sortedFiles(state).flatMap((file) => fileInForce(state, file) ?? []);
  }

  /** Whether anything in force comes from that file of a source. */
  hasInForce(source: string, file: string): boolean {
    const { files, winners } = this.#stateOf(source).state;
    return files.get(file)?.inForce.some((entry) => winners.get(entry.key) === entry) === true;
  }

  /** Objects of a source that are not in force because another source has the same; each is a problem. */
  keptOut(source: string): ReadonlySet<string> {
    const { state } = this.#stateOf(source);
    return new Set([...state.winners.keys()].filter((key) => this.#isKeptOut(state, key)));
  }

  /** Calls back after every change of objects or problems, with the source that changed. Returns what ends it. */
  watch(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Replaces all that one source says: files that are not named are gone, and their objects with them.
   *
   * Listeners are called once, and only if a manifest is another than before (manifests are compared by identity) or
   * there are other problems.
   */
  replace(source: string, manifests: readonly ParsedManifest[], problems: readonly StandingProblem[] = []): void {
    const { state } = this.#stateOf(source);
    const changes = new Map<string, ParsedManifest | undefined>();
    for (const manifest of manifests)
      if (state.files.get(manifest.file)?.manifest !== manifest) changes.set(manifest.file, manifest);
    const named = new Set(manifests.map(({ file }) => file));
    for (const file of state.files.keys()) if (!named.has(file)) changes.set(file, undefined);
    this.#take(source, changes, problems);
  }

  /** Takes in what some files of a source say now; `undefined`: the file is gone. What is not named stays. */
  apply(source: string, changes: FileChanges): void {
    this.#take(source, changes, this.#stateOf(source).problems);
  }

  /** Puts one file of a source in the place of what it said before. */
  upsert(source: string, manifest: ParsedManifest): void {
    this.apply(source, new Map([[manifest.file, manifest]]));
  }

  /** A file of a source is gone, and its objects with it. */
  delete(source: string, file: string): void {
    this.apply(source, new Map([[file, undefined]]));
  }

  #take(name: string, changes: FileChanges, problems: readonly StandingProblem[]): void {
    const source = this.#stateOf(name);
    const sameProblems = isDeepStrictEqual(source.problems, problems);
    if (changes.size === 0 && sameProblems) return;
    source.problems = problems;
    this.#problems.set(`source ${name}`, problems);
    const before = new Map<string, InForce | undefined>();
    for (const key of keysIn(source.state, changes)) before.set(key, source.state.winners.get(key));
    const wereKeptOut = new Set([...before.keys()].filter((key) => this.#isKeptOut(source.state, key)));
    const touched = source.state.apply(changes);
    for (const file of changes.keys()) {
      const state = source.state.files.get(file);
      this.#problems.set(ownerOf(name, file), state === undefined ? [] : standingProblems(state));
      this.#notices.set(ownerOf(name, file), state?.manifest.notices ?? []);
      source.files.add(file);
    }
    for (const key of touched) {
      // Another file's definition may count now, or count no more.
      for (const { file } of source.state.definitionsOf(key)) source.files.add(file);
      if (!source.written.has(key))
        source.written.set(key, { before: writtenOf(before.get(key)), keptOut: wereKeptOut.has(key) });
      this.#merge(key);
    }
    for (const listener of this.#listeners) listener(this.#objects, name);
  }

  /** Decides which definition of an object is in force: that of the first source that has one. */
  #merge(key: string): void {
    let winner: InForce | undefined;
    const duplicates: StandingProblem[] = [];
    for (const { state } of this.#sources.values()) {
      winner ??= state.winners.get(key);
      for (const entry of state.definitionsOf(key))
        if (winner !== undefined && entry !== winner) duplicates.push(duplicate(entry, winner));
    }
    this.#problems.set(DUPLICATES + key, duplicates);
    const before = this.#objects.get(key);
    if (before === winner) return;
    const isSame =
      before !== undefined &&
      winner !== undefined &&
      before.file === winner.file &&
      before.line === winner.line &&
      isDeepStrictEqual(before.object, winner.object);
    this.#objects.set(key, winner);
    const object = winner?.object ?? before?.object;
    if (!isSame && object !== undefined) this.#changed.set(key, object);
  }

  #isKeptOut(state: SourceState, key: string): boolean {
    const winner = state.winners.get(key);
    return winner !== undefined && this.#objects.get(key) !== winner;
  }

  #stateOf(source: string): Source {
    const state = this.#sources.get(source);
    if (state === undefined) throw new Error(`unknown source of objects: ${source}`);
    return state;
  }
}

const DUPLICATES = 'duplicate ';

function ownerOf(source: string, file: string): string {
  return `file ${source} ${file}`;
}

function sortedFiles({ files }: SourceState): string[] {
  return [...files.keys()].sort(compareText);
}

function* keysIn({ files }: SourceState, changes: FileChanges): Iterable<string> {
  for (const [file, manifest] of changes) {
    for (const { key } of files.get(file)?.inForce ?? []) yield key;
    for (const { key } of manifest?.objects ?? []) yield key;
  }
}

/** What stands for an object that was never understood is not what was written. */
function writtenOf(entry: InForce | undefined): unknown {
  return entry === undefined || entry.standIn ? undefined : entry.source;
}

function fileInForce({ files, winners }: SourceState, file: string): FileInForce | undefined {
  const state = files.get(file);
  if (state === undefined) return undefined;
  const objects = state.inForce.filter((entry) => winners.get(entry.key) === entry);
  return { file, objects: objects.map(({ line, source }) => ({ line, source })) };
}
