// SPDX-License-Identifier: Apache-2.0

import { type Document, isNode, LineCounter, type Node, parseAllDocuments } from 'yaml';
import type { FieldPath } from '../objects/object-reader.ts';
import { describeObject, ManifestReading, type ParsedManifest } from '../objects/read-objects.ts';

/** Larger files are refused before they are parsed. */
export const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;
const DOCUMENTS_PER_FILE_MAX = 20_000;
// How many nodes the aliases of a document may multiply into; the guard of the yaml package against alias bombs.
const ALIAS_COUNT_MAX = 100;
// The parser recurses, and its time grows with the square of the depth: a million open brackets take minutes.
const NESTING_MAX = 5_000;

/**
 * Parses the text of one manifest: YAML with any number of documents, or JSON; `List` kinds are opened.
 *
 * Never throws; every problem has the file and a line. One pass reports every mistake of every object.
 */
export function parseManifest(file: string, text: string): ParsedManifest {
  const lines = new LineCounter();
  const reading = new ManifestReading(file);
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
  return new ManifestReading(file).unreadable(
    1,
    'is empty, as a full disk leaves a file, so what it said last stays in force; delete it, or write a comment into it, to take that away',
  );
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

function readDocument(reading: ManifestReading, document: Document.Parsed, lines: LineCounter): void {
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
  reading.read(value, (path) => lineOf(offsetOf(document, path) ?? start));
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
