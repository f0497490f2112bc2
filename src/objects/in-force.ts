// SPDX-License-Identifier: Apache-2.0

// What one source has in force: a function of what it says and of what it had in force before.

import { compareText } from './object-meta.ts';
import type { MeshObject } from './objects.ts';
import { formatPlace, type StandingProblem } from './problem.ts';
import type { ParsedManifest, ParsedObject } from './read-objects.ts';

// Of the objects that a problem keeps in force as many as are good to read in one line.
const NAMED_MAX = 10;

/** One definition of an object: what its file says, or for a refused one what was said last. */
export interface InForce extends ParsedObject {
  readonly object: MeshObject;
  /** Stands for an object whose every version so far was refused. */
  readonly standIn: boolean;
}

export interface FileState {
  readonly manifest: ParsedManifest;
  readonly inForce: readonly InForce[];
}

/** What a source says of some of its files; `undefined`: the file is gone. */
export type FileChanges = ReadonlyMap<string, ParsedManifest | undefined>;

/**
 * What one source has in force, file by file, and of each object the one definition that counts.
 *
 * A change costs what its files hold, however many others there are.
 */
export class SourceState {
  readonly #files = new Map<string, FileState>();
  /** Every definition of an object, in order of file and place. */
  readonly #definitions = new Map<string, readonly InForce[]>();
  readonly #winners = new Map<string, InForce>();

  get files(): ReadonlyMap<string, FileState> {
    return this.#files;
  }

  get winners(): ReadonlyMap<string, InForce> {
    return this.#winners;
  }

  definitionsOf(key: string): readonly InForce[] {
    return this.#definitions.get(key) ?? [];
  }

  /** Takes in what these files say now, in one step. Returns the keys of all that they define, or did. */
  apply(changes: FileChanges): ReadonlySet<string> {
    // First all of them by what was in force before: an object may move from one of them to another.
    const next = new Map([...changes].map(([file, manifest]) => [file, manifest && this.#stateOf(file, manifest)]));
    const touched = new Set<string>();
    for (const [file, state] of next) {
      for (const { key } of this.#files.get(file)?.inForce ?? []) {
        touched.add(key);
        this.#undefine(key, file);
      }
      if (state === undefined) this.#files.delete(file);
      else this.#files.set(file, state);
    }
    for (const state of next.values()) {
      for (const entry of state?.inForce ?? []) {
        touched.add(entry.key);
        this.#define(entry);
      }
    }
    for (const key of touched) this.#choose(key);
    return touched;
  }

  #stateOf(file: string, manifest: ParsedManifest): FileState {
    const last = this.#files.get(file)?.inForce ?? [];
    const said = manifest.objects.flatMap((parsed) => chooseInForce(parsed, this.#lastGood(parsed.key)) ?? []);
    const kept = manifest.allNamed ? [] : unnamedIn(manifest, last);
    return { manifest, inForce: manifest.readable ? [...said, ...kept] : last };
  }

  // What counted before is what "the last good version" means; only an object without one falls back on another's.
  #lastGood(key: string): InForce | undefined {
    const winner = this.#winners.get(key);
    return [...(winner === undefined ? [] : [winner]), ...this.definitionsOf(key)].find(({ standIn }) => !standIn);
  }

  #undefine(key: string, file: string): void {
    const rest = this.definitionsOf(key).filter((entry) => entry.file !== file);
    if (rest.length === 0) this.#definitions.delete(key);
    else this.#definitions.set(key, rest);
  }

  #define(entry: InForce): void {
    const others = this.definitionsOf(entry.key);
    // Stable: those of one file stay in the order in which they are written.
    const sorted = others.length === 0 ? [entry] : [...others, entry].sort((a, b) => compareText(a.file, b.file));
    this.#definitions.set(entry.key, sorted);
  }

  #choose(key: string): void {
    const [first, ...rest] = this.definitionsOf(key);
    if (first === undefined) {
      this.#winners.delete(key);
      return;
    }
    const incumbent = this.#winners.get(key);
    let winner = first;
    for (const rival of rest) if (claim(rival, incumbent) > claim(winner, incumbent)) winner = rival;
    this.#winners.set(key, winner);
  }
}

/** Those that a file does not name. */
function unnamedIn({ objects }: ParsedManifest, inForce: readonly InForce[]): InForce[] {
  const named = new Set(objects.map(({ key }) => key));
  return inForce.filter(({ key }) => !named.has(key));
}

function chooseInForce(parsed: ParsedObject, lastGood: InForce | undefined): InForce | undefined {
  if (parsed.refused && lastGood !== undefined) return { ...lastGood, file: parsed.file, line: parsed.line };
  return parsed.object && { ...parsed, object: parsed.object, standIn: parsed.refused };
}

/** How much speaks for a definition being the one that was in force: its file before its text. */
function claim(entry: InForce, incumbent: InForce | undefined): number {
  if (incumbent === undefined) return 0;
  const saysTheSame = JSON.stringify(entry.source) === JSON.stringify(incumbent.source);
  return (entry.file === incumbent.file ? 2 : 0) + (saysTheSame ? 1 : 0);
}

/** The problems of a file, each with what it leaves in force. */
export function standingProblems({ manifest, inForce }: FileState): StandingProblem[] {
  const named = new Set(manifest.objects.map(({ key }) => key));
  const kept = unnamedIn(manifest, inForce);
  return manifest.problems.map((problem) => {
    const entry = inForce.find(({ key }) => key === problem.object);
    if (entry !== undefined) return { ...problem, standing: entry.standIn ? 'denied' : 'last-good' };
    if (!manifest.readable) return { ...problem, standing: inForce.length > 0 ? 'last-good' : 'nothing' };
    if (kept.length === 0 || named.has(problem.object)) return { ...problem, standing: 'nothing' };
    // What could not be named may be any of these.
    const reason = `${problem.reason}; until that is corrected, what the file named before and does not name now stays in force: ${listKeys(kept)}`;
    return { ...problem, reason, standing: 'last-good' };
  });
}

function listKeys(entries: readonly InForce[]): string {
  const more = entries.length - NAMED_MAX;
  const names = entries.slice(0, NAMED_MAX).map(({ key }) => key);
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}

/** The problem of a definition that another one of the same object keeps out. */
export function duplicate(entry: InForce, winner: InForce): StandingProblem {
  return {
    file: entry.file,
    line: entry.line,
    object: entry.key,
    field: 'metadata.name',
    reason: `defined a second time; ${formatPlace(winner)} is in force and this one is not: remove one of them`,
    standing: 'duplicate',
  };
}
