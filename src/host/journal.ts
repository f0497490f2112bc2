// SPDX-License-Identifier: Apache-2.0

// A table on disk, kept at what is in memory by what changed:
//
//     groundwire-registry 2                      the format
//     6b1f0c5a9d3e2f47 ["uid-1",{"name":"web"}]  digest of the rest, then a key with its value
//     0c4d9e8f7a6b5c43 ["uid-1"]                 ... or without: it is gone
//
// A change is one line at the end. When those are as long as what they were added to, the file is written anew beside
// itself, a slice a turn of the event loop, and renamed. What a crash has left of a line at the end counts as not
// written; anything else that is not as it was written makes the file unusable.

import { createHash } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate as turnOfLoop } from 'node:timers/promises';

import { isMissing } from '../model/file-error.ts';
import { writeFileAtomically } from './atomic-file.ts';

/** The file is not what was written. */
export class JournalDamaged extends Error {
  override readonly name = 'JournalDamaged';
}

/** All that there is, for when the file is written anew; asked for slice by slice, and may change meanwhile. */
export type JournalEntries<T> = () => Iterable<readonly [key: string, value: T]>;

export interface JournalOptions {
  readonly path: string;
  /** First line of the file. */
  readonly format: string;
  /** Each change is on the disk when `append` returns; otherwise soon after. */
  readonly durable: boolean;
}

const MODE = 0o600;
const DIGEST_LENGTH = 16;
// A file below this is not worth writing anew.
const REWRITE_BYTES_MIN = 256 * 1024;
// Some 0.2 ms of work.
const SLICE_ENTRIES = 64;

/** See the head of the file. */
export class Journal<T> {
  readonly path: string;
  readonly #options: JournalOptions;
  /** Of what was written whole; `undefined`: the next write has to be a whole one. */
  #wholeBytes: number | undefined;
  #addedBytes = 0;
  /** Lines that were added while the file is being written anew. */
  #meanwhile: string[] | undefined;
  #rewriting: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: JournalOptions) {
    this.path = options.path;
    this.#options = options;
  }

  /** `undefined` when there is no file. Throws `JournalDamaged`, or what the system said. */
  read(): Map<string, T> | undefined {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    const [format, ...lines] = text.split('\n');
    if (format !== this.#options.format) throw new JournalDamaged(`${this.path} is damaged or of another version`);
    const entries = new Map<string, T>();
    let torn = -1;
    for (const [index, line] of lines.entries()) {
      const record = parseLine(line);
      if (record === undefined) {
        if (line !== '' && torn < 0) torn = index;
        continue;
      }
      if (torn >= 0) throw new JournalDamaged(`${this.path} is damaged in line ${torn + 2}`);
      const [key, ...values] = record as [string, T?];
      if (values.length === 0) entries.delete(key);
      else entries.set(key, values[0] as T);
    }
    // After what is torn nothing may be added.
    if (torn < 0 && text.endsWith('\n')) this.#wholeBytes = Buffer.byteLength(text);
    return entries;
  }

  /** Writes what changed; `undefined`: the key is gone. Throws what the system said; then nothing of it is written. */
  append(changes: Iterable<readonly [key: string, value: T | undefined]>, entries: JournalEntries<T>): void {
    if (this.#wholeBytes === undefined) return this.#writeWhole(entries);
    const text = Array.from(changes, ([key, value]) => formatLine(key, value)).join('');
    if (text === '') return;
    try {
      this.#add(text);
    } catch (error) {
      // A part of it may be there.
      this.#wholeBytes = undefined;
      throw error;
    }
    this.#meanwhile?.push(text);
    this.#addedBytes += Buffer.byteLength(text);
    if (this.#meanwhile === undefined && this.#addedBytes > Math.max(this.#wholeBytes, REWRITE_BYTES_MIN))
      this.#rewriting = this.#rewrite(entries);
  }

  /** Resolves when the file is at rest. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#rewriting;
  }

  #writeWhole(entries: JournalEntries<T>): void {
    const text = `${this.#options.format}\n${Array.from(entries(), ([key, value]) => formatLine(key, value)).join('')}`;
    writeFileAtomically(this.path, text, MODE);
    this.#wholeBytes = Buffer.byteLength(text);
    this.#addedBytes = 0;
    this.#meanwhile = undefined;
  }

  #add(text: string): void {
    const fd = openSync(this.path, 'a', MODE);
    let isOurs = true;
    try {
      writeFileSync(fd, text);
      if (this.#options.durable) fdatasyncSync(fd);
      else {
        isOurs = false;
        fdatasync(fd, () => closeSync(fd));
      }
    } finally {
      if (isOurs) closeSync(fd);
    }
  }

  // What goes wrong costs space alone: the file is as good as before, and the next change tries again.
  async #rewrite(entries: JournalEntries<T>): Promise<void> {
    const meanwhile: string[] = [];
    this.#meanwhile = meanwhile;
    const aside = `${this.path}.new`;
    try {
      const file = await open(aside, 'w', MODE);
      let bytes: number;
      try {
        bytes = await this.#writeSlices(file, meanwhile, entries);
        await file.datasync();
      } finally {
        await file.close();
      }
      if (this.#meanwhile !== meanwhile || this.#closed) return;
      // From here to the rename nothing else runs.
      const rest = meanwhile.join('');
      const fd = openSync(aside, 'a', MODE);
      try {
        writeFileSync(fd, rest);
        if (rest !== '' && this.#options.durable) fdatasyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(aside, this.path);
      this.#wholeBytes = bytes;
      this.#addedBytes = Buffer.byteLength(rest);
    } catch {
      this.#addedBytes = 0;
    } finally {
      if (this.#meanwhile === meanwhile) this.#meanwhile = undefined;
      rmSync(aside, { force: true });
    }
  }

  async #writeSlices(file: FileHandle, meanwhile: string[], entries: JournalEntries<T>): Promise<number> {
    let text = `${this.#options.format}\n`;
    let bytes = 0;
    let count = 0;
    const flush = async (): Promise<void> => {
      bytes += Buffer.byteLength(text);
      await file.writeFile(text);
      text = '';
      await turnOfLoop();
    };
    for (const [key, value] of entries()) {
      text += formatLine(key, value);
      count += 1;
      if (count % SLICE_ENTRIES === 0) await flush();
      if (this.#meanwhile !== meanwhile || this.#closed) break;
    }
    await flush();
    return bytes;
  }
}

function formatLine(key: string, value: unknown): string {
  const text = JSON.stringify(value === undefined ? [key] : [key, value]);
  return `${digest(text)} ${text}\n`;
}

function parseLine(line: string): unknown[] | undefined {
  const text = line.slice(DIGEST_LENGTH + 1);
  if (text === '' || line.slice(0, DIGEST_LENGTH) !== digest(text)) return undefined;
  return JSON.parse(text) as unknown[];
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_LENGTH);
}
