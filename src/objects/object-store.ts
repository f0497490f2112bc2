// SPDX-License-Identifier: Apache-2.0

import { duplicate, type InForce, NOTHING_SAID, nextState, type SourceState, standingProblems } from './in-force.ts';
import { compareText, objectKey } from './object-meta.ts';
import type { MeshKind, MeshObject, ObjectOfKind } from './objects.ts';
import { formatPlace, type Notice, type StandingProblem } from './problem.ts';
import type { ParsedManifest } from './read-objects.ts';

/** Every object in force at one moment, by kind, in a fixed order (namespace, then name). */
export class ObjectSnapshot {
  readonly #byKind = new Map<MeshKind, MeshObject[]>();
  readonly #entries: ReadonlyMap<string, InForce>;

  /** `entries` by `Kind namespace/name`. */
  constructor(entries: ReadonlyMap<string, InForce>) {
    this.#entries = entries;
    for (const { object } of entries.values()) {
      const list = this.#byKind.get(object.kind);
      if (list === undefined) this.#byKind.set(object.kind, [object]);
      else list.push(object);
    }
    for (const list of this.#byKind.values()) list.sort(byName);
  }

  /** How many there are of each kind. */
  counts(): ReadonlyMap<MeshKind, number> {
    return new Map([...this.#byKind].map(([kind, list]) => [kind, list.length]));
  }

  of<K extends MeshKind>(kind: K): readonly ObjectOfKind<K>[] {
    return (this.#byKind.get(kind) ?? []) as unknown as readonly ObjectOfKind<K>[];
  }

  /** Where an object in force is defined: file and line. */
  placeOf({ kind, meta }: MeshObject): string {
    const entry = this.#entries.get(objectKey(kind, meta));
    return entry === undefined ? '' : formatPlace(entry);
  }

  /** Whether this definition is the one in force. */
  has(entry: InForce): boolean {
    return this.#entries.get(entry.key) === entry;
  }
}

function byName(a: MeshObject, b: MeshObject): number {
  return compareText(a.meta.namespace, b.meta.namespace) || compareText(a.meta.name, b.meta.name);
}

/** What one file has in force, in a form that can be written down and read again. */
export interface FileInForce {
  readonly file: string;
  readonly objects: readonly { readonly line: number; readonly source: unknown }[];
}

type Listener = (snapshot: ObjectSnapshot, source: string) => void;

/**
 * The objects of several sources (a directory, the pods that nodes report), the last good version of each.
 *
 * A refused object leaves its last good version in force. One that never had a good version is absent, or, if it is a
 * security object, denies in its scope. A file that cannot be parsed keeps everything it had; one with an object that
 * cannot be named keeps what it does not name any more, for it may be any of that. Where two sources give the same object, the earlier source wins; where two files of one source do, the one that is in force stays, and
 * at first the earlier file name wins. The other is reported.
 */
export class ObjectStore {
  readonly #sources = new Map<string, SourceState>();
  readonly #listeners = new Set<Listener>();
  #problems: readonly StandingProblem[] = [];
  #snapshot = new ObjectSnapshot(new Map());

  /** `sources` in order of precedence. */
  constructor(sources: readonly string[]) {
    for (const source of sources) this.#sources.set(source, NOTHING_SAID);
  }

  snapshot(): ObjectSnapshot {
    return this.#snapshot;
  }

  /** Everything refused at present, in order of source, file and line. */
  problems(): readonly StandingProblem[] {
    return this.#problems;
  }

  notices(): readonly Notice[] {
    return [...this.#sources.values()].flatMap(({ files }) =>
      [...files.values()].flatMap(({ manifest }) => manifest.notices),
    );
  }

  /** What a source has in force, file by file; `readObjects` makes manifests of it again. */
  inForce(source: string): FileInForce[] {
    const { files, winners } = this.#stateOf(source);
    return [...files].map(([file, { inForce }]) => ({
      file,
      objects: inForce
        .filter((entry) => winners.get(entry.key) === entry)
        .map(({ line, source: written }) => ({ line, source: written })),
    }));
  }

  /** Whether anything in force comes from that file of a source. */
  hasInForce(source: string, file: string): boolean {
    const { files, winners } = this.#stateOf(source);
    return files.get(file)?.inForce.some((entry) => winners.get(entry.key) === entry) === true;
  }

  /** Every object of a source that was accepted, as it was written. */
  written(source: string): ReadonlyMap<string, unknown> {
    const accepted = [...this.#stateOf(source).winners].filter(([, { standIn }]) => !standIn);
    return new Map(accepted.map(([key, entry]) => [key, entry.source]));
  }

  /** Objects of a source that are not in force because another source has the same; each is a problem. */
  keptOut(source: string): ReadonlySet<string> {
    const entries = [...this.#stateOf(source).winners.values()];
    return new Set(entries.filter((entry) => !this.#snapshot.has(entry)).map(({ key }) => key));
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
    const before = this.#stateOf(source);
    const sameManifests =
      before.files.size === manifests.length &&
      manifests.every((manifest) => before.files.get(manifest.file)?.manifest === manifest);
    if (sameManifests && isSame(before.problems, problems)) return;
    this.#sources.set(source, sameManifests ? { ...before, problems } : nextState(before, manifests, problems));
    this.#merge();
    for (const listener of this.#listeners) listener(this.#snapshot, source);
  }

  #stateOf(source: string): SourceState {
    const state = this.#sources.get(source);
    if (state === undefined) throw new Error(`unknown source of objects: ${source}`);
    return state;
  }

  #merge(): void {
    const winners = new Map<string, InForce>();
    const problems: StandingProblem[] = [];
    for (const state of this.#sources.values()) {
      problems.push(...state.problems);
      for (const file of state.files.values()) {
        problems.push(...standingProblems(file));
        for (const entry of file.inForce) {
          const winner = winners.get(entry.key) ?? state.winners.get(entry.key);
          if (winner === undefined || winner === entry) winners.set(entry.key, entry);
          else problems.push(duplicate(entry, winner));
        }
      }
    }
    this.#problems = problems;
    this.#snapshot = new ObjectSnapshot(winners);
  }
}

function isSame(a: readonly StandingProblem[], b: readonly StandingProblem[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
