// SPDX-License-Identifier: Apache-2.0

import { checkFields } from './check-fields.ts';
import { type KindLookup, lookUpKind } from './kinds.ts';
import { noteKeys } from './mesh-keys.ts';
import { objectKey } from './object-meta.ts';
import { type FieldPath, type Findings, formatPath, ObjectReader } from './object-reader.ts';
import type { MeshObject } from './objects.ts';
import { type ManifestProblem, type Notice, shown } from './problem.ts';
import { readMetadata } from './read-metadata.ts';

// Of what cannot be an object's name as much as is good to read.
const OBJECT_NAME_MAX = 400;

export interface ParsedObject {
  /** `Kind namespace/name`. */
  readonly key: string;
  readonly file: string;
  readonly line: number;
  /** Absent: refused, and nothing may stand in for it. */
  readonly object?: MeshObject;
  /** The object as it was written, from which it can be read again. */
  readonly source: unknown;
  readonly refused: boolean;
}

/** What one file said. */
export interface ParsedManifest {
  readonly file: string;
  /** False when the text could not be parsed: then the file as a whole keeps its last good version. */
  readonly readable: boolean;
  /** False when one of its objects could not even be named: then it may be any that the file had and does not name now. */
  readonly allNamed: boolean;
  readonly objects: readonly ParsedObject[];
  readonly problems: readonly ManifestProblem[];
  readonly notices: readonly Notice[];
}

type LineOf = (path: FieldPath) => number;

/** Reads objects that are already values, such as the pods that nodes report; `origin` stands for the file. */
export function readObjects(
  origin: string,
  values: readonly unknown[],
  lineOf: (index: number) => number = (index) => index + 1,
): ParsedManifest {
  const reading = new ManifestReading(origin);
  for (const [index, value] of values.entries()) reading.read(value, () => lineOf(index));
  return reading.finish();
}

/** Collects what the objects of one file say. */
export class ManifestReading {
  readonly #file: string;
  readonly #objects: ParsedObject[] = [];
  readonly #problems: ManifestProblem[] = [];
  readonly #notices: Notice[] = [];
  #readable = true;
  #allNamed = true;

  constructor(file: string) {
    this.#file = file;
  }

  /** Reads one object, or a `List` of them; `lineOf` finds the line of a field. */
  read(value: unknown, lineOf: LineOf): void {
    readValue(this, value, [], lineOf);
  }

  add(parsed: Omit<ParsedObject, 'file'>): void {
    this.#objects.push({ ...parsed, file: this.#file });
  }

  problem(line: number, object: string, path: FieldPath, reason: string): void {
    this.#problems.push({ file: this.#file, line, object, field: formatPath(path), reason });
  }

  notice(line: number, object: string, code: Notice['code'], message: string): void {
    this.#notices.push({ code, object, message: `${message} (${this.#file}:${line})` });
  }

  /** Reports an object that cannot be told apart from others that were in force. */
  nameless(line: number, reason: string, object: string, path: FieldPath): void {
    this.problem(line, object, path, reason);
    this.#allNamed = false;
  }

  /** Reports what leaves open what else is in the file: the whole of it is in doubt. */
  unreadable(line: number, reason: string, object = ''): ParsedManifest {
    this.problem(line, object, [], reason);
    this.#readable = false;
    return this.finish();
  }

  finish(): ParsedManifest {
    return {
      file: this.#file,
      readable: this.#readable,
      allNamed: this.#allNamed,
      objects: this.#objects,
      problems: this.#problems,
      notices: this.#notices,
    };
  }
}

function readValue(reading: ManifestReading, value: unknown, base: FieldPath, lineOf: LineOf): void {
  const findings: Findings = { problems: [], notes: [] };
  const reader = new ObjectReader(value, base, findings);
  const apiVersion = reader.string('apiVersion') ?? '';
  const kind = reader.string('kind') ?? '';
  const found = lookUpKind(apiVersion, kind);
  const isComplete = apiVersion !== '' && kind !== '';
  if (found.result !== 'refused' && findings.problems.length === 0 && !isComplete) {
    reader.reject(undefined, 'not a Kubernetes object: apiVersion and kind are needed');
  }
  const known = findings.problems.length === 0;
  if (known && kind.toLowerCase().endsWith('list') && reader.has('items')) {
    for (const [index, item] of reader.items('items').entries())
      readValue(reading, item, [...base, 'items', index], lineOf);
  } else if (known && found.result === 'skipped') {
    noteSkipped(reading, reader, `${shown(apiVersion)} ${shown(kind)}`, found.meant, lineOf);
  } else if (found.result === 'refused' || (known && found.result === 'served')) {
    readKind(reading, reader, value, found, lineOf, findings);
  }
  for (const { path, reason } of findings.problems) reading.nameless(lineOf(path), reason, describeObject(value), path);
}

/** What an object that cannot be read calls itself, as far as it does. */
export function describeObject(value: unknown): string {
  const { kind, metadata } = asMapping(value);
  const { name, namespace } = asMapping(metadata);
  if (typeof kind !== 'string') return '';
  if (typeof name !== 'string') return kind.slice(0, OBJECT_NAME_MAX);
  const key = objectKey(kind, { name, namespace: typeof namespace === 'string' ? namespace : '' });
  return key.slice(0, OBJECT_NAME_MAX);
}

function asMapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function noteSkipped(
  reading: ManifestReading,
  reader: ObjectReader,
  what: string,
  meant: string | undefined,
  lineOf: LineOf,
): void {
  const name = reader.object('metadata')?.string('name') ?? '';
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  const message = `${what} is not served and is left out${hint}`;
  reading.notice(lineOf(reader.path), `${what.slice(what.indexOf(' ') + 1)} ${name}`, 'KIND_SKIPPED', message);
}

/** Reads an object of a known kind. What it leaves in `problems` leaves open which object it is. */
function readKind(
  reading: ManifestReading,
  reader: ObjectReader,
  source: unknown,
  found: Exclude<KindLookup, { result: 'skipped' }>,
  lineOf: LineOf,
  { problems, notes }: Findings,
): void {
  const line = lineOf(reader.path);
  const meta = readMetadata(reader, found.entry.namespaced);
  if (found.result === 'refused') reader.reject(found.field, found.reason);
  const object = found.entry.read(reader, meta);
  checkFields(object, source, reader);
  const own = problems.map(({ path, reason }) => ({ path: path.slice(reader.path.length), reason }));
  if (own.some(({ path }) => concernsName(path))) return;
  // What was meant: a kind that is misspelt later on is still the object that was in force.
  const key = objectKey(object.kind, meta);
  for (const { path, reason } of own) reading.problem(lineOf([...reader.path, ...path]), key, path, reason);
  for (const { path, code, message } of noteKeys(object.kind, meta))
    reading.notice(lineOf([...reader.path, ...path]), key, code, message);
  for (const { path, code, message } of notes) {
    const field = formatPath(path.slice(reader.path.length));
    reading.notice(lineOf(path), key, code, `${field}: ${message}`);
  }
  const refused = own.length > 0;
  const inForce = refused ? found.entry.standIn?.(object, own) : object;
  reading.add({ key, line, refused, source, ...(inForce && { object: inForce }) });
  problems.length = 0;
}

/** Whether a problem leaves open which object it is. */
function concernsName(path: FieldPath): boolean {
  return path[0] === 'metadata' && (path.length === 1 || path[1] === 'name' || path[1] === 'namespace');
}
