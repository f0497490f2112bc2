// SPDX-License-Identifier: Apache-2.0

// What one source has in force, as a function of what it said and of what it had in force before.

import { compareText, type MeshObject } from './objects.ts';
import type { ParsedManifest, ParsedObject } from './parse-manifest.ts';
import { formatPlace, type StandingProblem } from './problem.ts';

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
    const inForce = manifest.readable
      ? manifest.objects.flatMap((parsed) => chooseInForce(parsed, lastGood) ?? [])
      : (before.files.get(manifest.file)?.inForce ?? []);
    files.set(manifest.file, { manifest, inForce });
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
  return manifest.problems.map((problem) => {
    const entry = inForce.find(({ key }) => key === problem.object);
    if (entry !== undefined) return { ...problem, standing: entry.standIn ? 'denied' : 'last-good' };
    // What could not be named may be any object of the file.
    return { ...problem, standing: !manifest.readable && inForce.length > 0 ? 'last-good' : 'nothing' };
  });
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
