// SPDX-License-Identifier: Apache-2.0

import type { MeshKind, MeshObject, ObjectOfKind } from './objects.ts';
import type { ParsedManifest, ParsedObject } from './parse-manifest.ts';
import type { ManifestProblem, Notice } from './problem.ts';

/** Every object in force at one moment, by kind, in a fixed order (namespace, then name). */
export class ObjectSnapshot {
  readonly #byKind = new Map<MeshKind, MeshObject[]>();

  constructor(objects: Iterable<MeshObject>) {
    for (const object of objects) {
      const list = this.#byKind.get(object.kind);
      if (list === undefined) this.#byKind.set(object.kind, [object]);
      else list.push(object);
    }
    for (const list of this.#byKind.values()) list.sort(byName);
  }

  of<K extends MeshKind>(kind: K): readonly ObjectOfKind<K>[] {
    return (this.#byKind.get(kind) ?? []) as unknown as readonly ObjectOfKind<K>[];
  }
}

function byName(a: MeshObject, b: MeshObject): number {
  return compareText(a.meta.namespace, b.meta.namespace) || compareText(a.meta.name, b.meta.name);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What one file has in force: usually what it says, for refused objects what it said last. */
interface FileState {
  readonly manifest: ParsedManifest;
  readonly inForce: readonly InForce[];
}

interface InForce extends ParsedObject {
  readonly object: MeshObject;
  /** Stands for an object whose every version so far was refused. */
  readonly standIn: boolean;
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
 * security object, denies in its scope. A file that cannot be read as a whole keeps everything it had. Where two files
 * give the same object, the earlier source and then the earlier file name wins, and the other is reported.
 */
export class ObjectStore {
  readonly #sources = new Map<string, Map<string, FileState>>();
  readonly #sourceProblems = new Map<string, readonly ManifestProblem[]>();
  readonly #listeners = new Set<Listener>();
  #problems: readonly ManifestProblem[] = [];
  #snapshot = new ObjectSnapshot([]);

  /** `sources` in order of precedence. */
  constructor(sources: readonly string[]) {
    for (const source of sources) this.#sources.set(source, new Map());
  }

  snapshot(): ObjectSnapshot {
    return this.#snapshot;
  }

  /** Everything refused at present, in order of source, file and line. */
  problems(): readonly ManifestProblem[] {
    return this.#problems;
  }

  notices(): readonly Notice[] {
    return [...this.#sources.values()].flatMap((files) =>
      [...files.values()].flatMap(({ manifest }) => manifest.notices),
    );
  }

  /** What a source has in force, file by file; `readObjects` makes manifests of it again. */
  inForce(source: string): FileInForce[] {
    return [...(this.#sources.get(source) ?? [])].map(([file, { inForce }]) => ({
      file,
      objects: inForce.map(({ line, source: written }) => ({ line, source: written })),
    }));
  }

  /** Calls back after every change, with the source that changed. Returns what ends it. */
  watch(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Replaces all that one source says: files that are not named are gone, and their objects with them.
   *
   * Listeners are called once, and only if a manifest is another than before (manifests are compared by identity).
   */
  replace(source: string, manifests: readonly ParsedManifest[], problems: readonly ManifestProblem[] = []): void {
    const before = this.#sources.get(source);
    if (before === undefined) throw new Error(`unknown source of objects: ${source}`);
    const same =
      before.size === manifests.length &&
      manifests.every((manifest) => before.get(manifest.file)?.manifest === manifest);
    this.#sourceProblems.set(source, problems);
    if (!same) this.#sources.set(source, nextFiles(before, manifests));
    this.#merge();
    if (!same) for (const listener of this.#listeners) listener(this.#snapshot, source);
  }

  #merge(): void {
    const winners = new Map<string, InForce>();
    const problems: ManifestProblem[] = [];
    for (const [source, files] of this.#sources) {
      problems.push(...(this.#sourceProblems.get(source) ?? []));
      for (const { manifest, inForce } of files.values()) {
        problems.push(...manifest.problems);
        for (const entry of inForce) {
          const winner = winners.get(entry.key);
          if (winner === undefined) winners.set(entry.key, entry);
          else problems.push(duplicate(entry, winner));
        }
      }
    }
    this.#problems = problems;
    this.#snapshot = new ObjectSnapshot([...winners.values()].map(({ object }) => object));
  }
}

function nextFiles(
  before: ReadonlyMap<string, FileState>,
  manifests: readonly ParsedManifest[],
): Map<string, FileState> {
  const lastGood = new Map<string, InForce>();
  for (const { inForce } of before.values()) {
    for (const entry of inForce) if (!entry.standIn && !lastGood.has(entry.key)) lastGood.set(entry.key, entry);
  }
  const after = new Map<string, FileState>();
  for (const manifest of [...manifests].sort((a, b) => compareText(a.file, b.file))) {
    const inForce = manifest.readable
      ? manifest.objects.flatMap((parsed) => chooseInForce(parsed, lastGood) ?? [])
      : (before.get(manifest.file)?.inForce ?? []);
    after.set(manifest.file, { manifest, inForce });
  }
  return after;
}

function chooseInForce(parsed: ParsedObject, lastGood: ReadonlyMap<string, InForce>): InForce | undefined {
  if (parsed.refused) {
    const good = lastGood.get(parsed.key);
    if (good !== undefined) return { ...good, file: parsed.file, line: parsed.line };
  }
  return parsed.object && { ...parsed, object: parsed.object, standIn: parsed.refused };
}

function duplicate(entry: InForce, winner: InForce): ManifestProblem {
  return {
    file: entry.file,
    line: entry.line,
    object: entry.key,
    field: 'metadata.name',
    reason: `defined twice; ${winner.file}:${winner.line} is in force and this one is not`,
  };
}
