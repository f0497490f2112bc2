// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFileAtomically } from '../host/atomic-file.ts';
import { isMissing } from '../model/file-error.ts';

/** A file of the state directory is not what was written. */
export class StateFileDamaged extends Error {
  override readonly name = 'StateFileDamaged';
}

/**
 * A value that outlives a restart, in a file of its own.
 *
 * File: a line with format and SHA-256 of the rest, then JSON. It is replaced in one step, with mode 0600.
 */
export class StateFile<T> {
  readonly path: string;
  readonly #format: string;

  constructor(path: string, format: string) {
    this.path = path;
    this.#format = format;
  }

  /** Whether there is a file, and it begins as one of this format does. */
  isOfFormat(): boolean {
    try {
      return readFileSync(this.path, 'utf8').startsWith(`${this.#format} `);
    } catch {
      return false;
    }
  }

  /** `undefined` when there is no file. Throws `StateFileDamaged`, or what the system said. */
  read(): T | undefined {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    const end = text.indexOf('\n');
    const body = text.slice(end + 1);
    if (end < 0 || text.slice(0, end) !== this.#headerOf(body))
      throw new StateFileDamaged(`${this.path} is damaged or of another version`);
    return JSON.parse(body) as T;
  }

  write(value: T): void {
    const body = JSON.stringify(value);
    writeFileAtomically(this.path, `${this.#headerOf(body)}\n${body}`, 0o600);
  }

  #headerOf(body: string): string {
    return `${this.#format} ${createHash('sha256').update(body).digest('hex')}`;
  }
}
