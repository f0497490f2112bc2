// SPDX-License-Identifier: Apache-2.0

// What one source has in force, as a function of what it said and of what it had in force before.

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

export interface SourceState {
  /** In order of their names. */
  readonly files: ReadonlyMap<string, FileState>;
  /** Of each object the one definition that counts, by key. */
  readonly winners: ReadonlyMap<string, InForce>;
  /** What is wrong with the source itself. */
  readonly problems: readonly StandingProblem[];
}

export const NOTHING_SAID: SourceState = { files: new Map(), winners: new Map(), problems: [] };

/** What is in force when a source says all this, and nothing else any more. */
export function nextState(
  before: SourceState,
  manifests: readonly ParsedManifest[],
  problems: readonly StandingProblem[],
): SourceState {
  const lastGood = goodVersions(before);
  const files = new Map<string, FileState>();
  for (const manifest of [...manifests].sort((a, b) => compareText(a.file, b.file))) {
    const last = before.files.get(manifest.file)?.inForce ?? [];
    const said = manifest.objects.flatMap((parsed) => chooseInForce(parsed, lastGood) ?? []);
    const kept = manifest.allNamed ? [] : unnamedIn(manifest, last);
    files.set(manifest.file, { manifest, inForce: manifest.readable ? [...said, ...kept] : last });
  }
  return { files, winners: chooseWinners(files, before.winners), problems };
}

// What counted before is what "the last good version" means; only an object without one falls back on another's.
function goodVersions({ files, winners }: SourceState): Map<string, InForce> {
  const good = new Map<string, InForce>();
  const entries = [...winners.values(), ...[...files.values()].flatMap(({ inForce }) => inForce)];
  for (const entry of entries) if (!entry.standIn && !good.has(entry.key)) good.set(entry.key, entry);
  return good;
}

/** Those that a file does not name. */
function unnamedIn({ objects }: ParsedManifest, inForce: readonly InForce[]): InForce[] {
  const named = new Set(objects.map(({ key }) => key));
  return inForce.filter(({ key }) => !named.has(key));
}

function chooseInForce(parsed: ParsedObject, lastGood: ReadonlyMap<string, InForce>): InForce | undefined {
  if (parsed.refused) {
    const good = lastGood.get(parsed.key);
    if (good !== undefined) return { ...good, file: parsed.file, line: parsed.line };
  }
  return parsed.object && { ...parsed, object: parsed.object, standIn: parsed.refused };
}

function chooseWinners(
  files: ReadonlyMap<string, FileState>,
  before: ReadonlyMap<string, InForce>,
): Map<string, InForce> {
  const winners = new Map<string, InForce>();
  for (const { inForce } of files.values()) {
    for (const entry of inForce) {
      const rival = winners.get(entry.key);
      if (rival === undefined || claim(entry, before) > claim(rival, before)) winners.set(entry.key, entry);
    }
  }
  return winners;
}

/** How much speaks for a definition being the one that was in force: its file before its text. */
function claim(entry: InForce, before: ReadonlyMap<string, InForce>): number {
  const incumbent = before.get(entry.key);
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
