// SPDX-License-Identifier: Apache-2.0

import type { Notice } from './problem.ts';

export type FieldPath = readonly (string | number)[];

export interface FieldProblem {
  readonly path: FieldPath;
  readonly reason: string;
}

/** Something to tell the author of a field that is accepted. */
export interface FieldNote {
  readonly path: FieldPath;
  readonly code: Notice['code'];
  readonly message: string;
}

/** What the readers of one object found: shared by all of them. */
export interface Findings {
  readonly problems: FieldProblem[];
  readonly notes: FieldNote[];
}

/**
 * Reads one mapping of a manifest, field by field.
 *
 * A field of the wrong type is reported, with its path, into the list shared by all readers of the object, and then
 * reads as if it were absent: one pass finds every mistake. `null` is absent, as in Kubernetes.
 */
export class ObjectReader {
  readonly path: FieldPath;
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #findings: Findings;

  constructor(value: unknown, path: FieldPath, findings: Findings) {
    this.path = path;
    this.#findings = findings;
    this.#value = {};
    if (isMapping(value)) this.#value = value;
    else findings.problems.push({ path, reason: `must be a mapping, not ${describe(value)}` });
  }

  /** Reports a problem with one field, or with the mapping itself. */
  reject(field: string | FieldPath | undefined, reason: string): void {
    this.#findings.problems.push({ path: this.#pathTo(field), reason });
  }

  /** Tells of one field, which is accepted all the same. */
  note(field: string | FieldPath | undefined, code: Notice['code'], message: string): void {
    this.#findings.notes.push({ path: this.#pathTo(field), code, message });
  }

  keys(): string[] {
    return Object.keys(this.#value);
  }

  has(key: string): boolean {
    return this.#get(key) !== undefined;
  }

  string(key: string): string | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === 'string') return value;
    this.reject(key, `must be a string, not ${describe(value)}; put it in quotes`);
    return undefined;
  }

  requiredString(key: string): string {
    const value = this.string(key);
    if (value !== undefined && value !== '') return value;
    if (value === '' || !this.has(key)) this.reject(key, 'Required value');
    return '';
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T | undefined {
    const value = this.string(key);
    if (value === undefined) return undefined;
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) this.reject(key, `Unsupported value: "${value}"; one of ${allowed.join(', ')}`);
    return found;
  }

  boolean(key: string): boolean | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    this.reject(key, `must be true or false, not ${describe(value)}`);
    return undefined;
  }

  integer(key: string): number | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    this.reject(key, `must be a whole number, not ${describe(value)}`);
    return undefined;
  }

  port(key: string): number | undefined {
    const value = this.integer(key);
    if (value === undefined || isPort(value)) return value;
    this.reject(key, `${PORT_RANGE}, not ${value}`);
    return undefined;
  }

  stringOrInteger(key: string): string | number | undefined {
    return typeof this.#get(key) === 'string' ? this.string(key) : this.integer(key);
  }

  object(key: string): ObjectReader | undefined {
    const value = this.#get(key);
    return value === undefined ? undefined : new ObjectReader(value, [...this.path, key], this.#findings);
  }

  /** Like `object`, but absence is reported too; what is returned then is empty and reports nothing more. */
  requiredObject(key: string): ObjectReader {
    const reader = this.object(key);
    if (reader !== undefined) return reader;
    this.reject(key, 'Required value');
    return new ObjectReader({}, [...this.path, key], { problems: [], notes: [] });
  }

  objects(key: string): ObjectReader[] {
    return this.#list(key).map((item, index) => new ObjectReader(item, [...this.path, key, index], this.#findings));
  }

  /** The items of a list as they are, for lists that hold whole objects. */
  items(key: string): readonly unknown[] {
    return this.#list(key);
  }

  /** A list that, where it is there, has something in it. */
  filledStrings(key: string): string[] {
    const strings = this.strings(key);
    if (this.has(key) && strings.length === 0) this.reject(key, 'must have at least one value');
    for (const [index, text] of strings.entries()) if (text === '') this.reject([key, index], 'must not be empty');
    return strings.filter((text) => text !== '');
  }

  strings(key: string): string[] {
    const strings: string[] = [];
    for (const [index, item] of this.#list(key).entries()) {
      const address = flowAddress(item);
      if (typeof item === 'string') strings.push(item);
      else if (address !== undefined) strings.push(address);
      else this.reject([key, index], `must be a string, not ${describe(item)}; put it in quotes`);
    }
    return strings;
  }

  stringMap(key: string): ReadonlyMap<string, string> {
    const map = new Map<string, string>();
    const reader = this.object(key);
    for (const name of reader?.keys() ?? []) map.set(name, reader?.string(name) ?? '');
    return map;
  }

  #pathTo(field: string | FieldPath | undefined): FieldPath {
    return [...this.path, ...(field === undefined ? [] : typeof field === 'string' ? [field] : field)];
  }

  #get(key: string): unknown {
    return Object.hasOwn(this.#value, key) ? (this.#value[key] ?? undefined) : undefined;
  }

  #list(key: string): readonly unknown[] {
    const value = this.#get(key);
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    this.reject(key, `must be a list, not ${describe(value)}`);
    return [];
  }
}

export const PORT_RANGE = 'port must be between 1-65535';

export function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** A field path as people write it: `spec.rules[0].from`. Keys that would be misread are quoted. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z0-9_-]+$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `["${part}"]`;
  }
  return text;
}

// `[fd77::]`: Kubernetes' YAML reader takes it for a text, the standard for a mapping with the key `fd77:`.
function flowAddress(item: unknown): string | undefined {
  if (!isMapping(item)) return undefined;
  const [entry, ...others] = Object.entries(item);
  if (entry === undefined || others.length > 0 || entry[1] !== null || !entry[0].endsWith(':')) return undefined;
  return `${entry[0]}:`;
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  return `${typeof value} ${JSON.stringify(value).slice(0, 40)}`;
}
