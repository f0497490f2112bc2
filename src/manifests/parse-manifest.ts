// SPDX-License-Identifier: Apache-2.0

import { type Document, isNode, LineCounter, type Node, parseAllDocuments } from 'yaml';
import { lookUpKind } from './kinds.ts';
import { noteKeys } from './mesh-keys.ts';
import { type FieldPath, type FieldProblem, formatPath, ObjectReader } from './object-reader.ts';
import { type MeshObject, objectKey } from './objects.ts';
import type { ManifestProblem, Notice } from './problem.ts';
import { readMetadata } from './read-metadata.ts';

/** Larger files are refused before they are parsed. */
export const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;
const DOCUMENTS_PER_FILE_MAX = 20_000;
// How many nodes the aliases of a document may multiply into; the guard of the yaml package against alias bombs.
const ALIAS_COUNT_MAX = 100;
// The parser recurses, and its time grows with the square of the depth: a million open brackets take minutes.
const NESTING_MAX = 5_000;

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

/**
 * Parses the text of one manifest: YAML with any number of documents, or JSON; `List` kinds are opened.
 *
 * Never throws; every problem has the file and a line. One pass reports every mistake of every object.
 */
export function parseManifest(file: string, text: string): ParsedManifest {
  const lines = new LineCounter();
  const reading = new Reading(file);
  const oversize = findOversize(text);
  if (oversize !== undefined) return reading.unreadable(oversize.line, oversize.reason);
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      uniqueKeys: true,
      merge: true,
      logLevel: 'silent',
    });
    if (!Array.isArray(documents)) return reading.finish();
    if (documents.length > DOCUMENTS_PER_FILE_MAX) {
      return reading.unreadable(1, `more than ${DOCUMENTS_PER_FILE_MAX} documents in one file; split it`);
    }
    for (const document of documents) readDocument(reading, document, lines);
    return reading.finish();
  } catch (error) {
    // The parser recurses into what it reads; RangeError is its stack running out on nested input.
    const reason = error instanceof RangeError ? 'nested too deeply' : String(error);
    return reading.unreadable(1, `cannot be parsed: ${reason}`);
  }
}

/** What is made of a file that had objects and is blank now: unlike a deletion or a comment, nobody has to have meant that. */
export function emptiedManifest(file: string): ParsedManifest {
  return new Reading(file).unreadable(
    1,
    'is empty, as a full disk leaves a file, so what it said last stays in force; delete it, or write a comment into it, to take that away',
  );
}

/** Reads objects that are already values, such as the pods that nodes report; `origin` stands for the file. */
export function readObjects(
  origin: string,
  values: readonly unknown[],
  lineOf: (index: number) => number = (index) => index + 1,
): ParsedManifest {
  const reading = new Reading(origin);
  for (const [index, value] of values.entries()) readValue(reading, value, [], () => lineOf(index));
  return reading.finish();
}

/** Collects what the documents of one file say. */
class Reading {
  readonly #file: string;
  readonly #objects: ParsedObject[] = [];
  readonly #problems: ManifestProblem[] = [];
  readonly #notices: Notice[] = [];
  #readable = true;
  #allNamed = true;

  constructor(file: string) {
    this.#file = file;
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

// Unbalanced brackets of prose add up too, so the bound is far above them; at it the parser takes tens of milliseconds.
function findOversize(text: string): { line: number; reason: string } | undefined {
  if (text.length > MANIFEST_BYTES_MAX) {
    return { line: 1, reason: `larger than ${MANIFEST_BYTES_MAX} bytes; split it into several files` };
  }
  let line = 1;
  let brackets = 0;
  let dashes = 0;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === '\n') line += 1;
    if (char === '[' || char === '{') brackets += 1;
    else if ((char === ']' || char === '}') && brackets > 0) brackets -= 1;
    // Several collections may open on one line: `- - - a`, `? ? a`.
    if (char === '-' || char === '?') dashes += 1;
    else if (char !== ' ' && char !== '\t') dashes = 0;
    if (brackets > NESTING_MAX || dashes > NESTING_MAX) return { line, reason: `nested deeper than ${NESTING_MAX}` };
  }
  return undefined;
}

function readDocument(reading: Reading, document: Document.Parsed, lines: LineCounter): void {
  const lineOf = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const object = document.errors.length > 0 ? describeObject(valueOf(document)) : '';
  for (const error of document.errors) {
    const message = error.message.split('\n', 1)[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? error.code;
    reading.unreadable(lineOf(error.pos[0]), `not valid YAML: ${message}`, object);
  }
  if (document.errors.length > 0 || document.contents === null) return;
  const start = document.contents.range?.[0] ?? 0;
  const value = valueOf(document);
  if (value instanceof Error) {
    const reason = value instanceof RangeError ? 'nested too deeply' : value.message;
    reading.unreadable(lineOf(start), `not valid YAML: ${reason}`);
    return;
  }
  if (value === null) return;
  readValue(reading, value, [], (path) => lineOf(offsetOf(document, path) ?? start));
}

/** The value of a document, as far as it could be parsed; or the error that says why it has none. */
function valueOf(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIAS_COUNT_MAX });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Where a field is, or the nearest thing around it that is in the text. */
function offsetOf(document: Document.Parsed, path: FieldPath): number | undefined {
  for (let length = path.length; length >= 0; length -= 1) {
    const node: unknown = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    if (isNode(node)) return (node as Node).range?.[0] ?? undefined;
  }
  return undefined;
}

type LineOf = (path: FieldPath) => number;

function readValue(reading: Reading, value: unknown, base: FieldPath, lineOf: LineOf): void {
  const problems: FieldProblem[] = [];
  const reader = new ObjectReader(value, base, problems);
  const apiVersion = reader.string('apiVersion') ?? '';
  const kind = reader.string('kind') ?? '';
  if (problems.length === 0 && (apiVersion === '' || kind === '')) {
    reader.reject(undefined, 'not a Kubernetes object: apiVersion and kind are needed');
  }
  if (problems.length === 0 && kind.endsWith('List') && reader.has('items')) {
    for (const [index, item] of reader.items('items').entries())
      readValue(reading, item, [...base, 'items', index], lineOf);
  } else if (problems.length === 0) readKind(reading, reader, value, apiVersion, kind, lineOf, problems);
  for (const { path, reason } of problems) reading.nameless(lineOf(path), reason, describeObject(value), path);
}

/** What an object that cannot be read calls itself, as far as it does. */
function describeObject(value: unknown): string {
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

/** Reads an object of a known kind. What it leaves in `problems` leaves open which object it is. */
function readKind(
  reading: Reading,
  reader: ObjectReader,
  source: unknown,
  apiVersion: string,
  kind: string,
  lineOf: LineOf,
  problems: FieldProblem[],
): void {
  const line = lineOf(reader.path);
  const found = lookUpKind(apiVersion, kind);
  if (found.result === 'refused') return reader.reject(found.field, found.reason);
  if (found.result === 'skipped') {
    const name = reader.object('metadata')?.string('name') ?? '';
    const message = `${apiVersion} ${kind} is not served and is left out`;
    return reading.notice(line, `${kind} ${name}`, 'KIND_SKIPPED', message);
  }
  const meta = readMetadata(reader, found.entry.namespaced);
  const object = found.entry.read(reader, meta);
  const own = problems.map(({ path, reason }) => ({ path: path.slice(reader.path.length), reason }));
  if (own.some(({ path }) => concernsName(path))) return;
  const key = objectKey(kind, meta);
  for (const { path, reason } of own) reading.problem(lineOf([...reader.path, ...path]), key, path, reason);
  for (const { path, code, message } of noteKeys(object.kind, meta))
    reading.notice(lineOf([...reader.path, ...path]), key, code, message);
  const refused = own.length > 0;
  const inForce = refused ? found.entry.standIn?.(object, own) : object;
  reading.add({ key, line, refused, source, ...(inForce && { object: inForce }) });
  problems.length = 0;
}

/** Whether a problem leaves open which object it is. */
function concernsName(path: FieldPath): boolean {
  return path[0] === 'metadata' && (path.length === 1 || path[1] === 'name' || path[1] === 'namespace');
}
