// SPDX-License-Identifier: Apache-2.0

import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Log } from '../model/log.ts';
import type { PodRecord } from './pod.ts';

/** The pods of this node on disk, a file each, so that an agent that was restarted knows whom it serves. */
export class PodFiles {
  readonly #directory: string;
  readonly #log: Log;

  constructor(directory: string, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Writes beside and renames: a reader, or the next agent after a crash, sees the old or the new, never half. */
  async write(record: PodRecord): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const target = this.#path(record.uid);
    const file = await open(`${target}.new`, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(record, null, 2));
    } finally {
      await file.close();
    }
    await rename(`${target}.new`, target);
  }

  async remove(uid: string): Promise<void> {
    await rm(this.#path(uid), { force: true });
  }

  /** Every record; a file that cannot be read is named and removed, since its pod is found by the sweep all the same. */
  async readAll(): Promise<readonly PodRecord[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const records: PodRecord[] = [];
    for (const name of names) {
      const path = join(this.#directory, name);
      const record = name.endsWith('.json') ? parseRecord(await readFile(path, 'utf8').catch(() => '')) : undefined;
      if (record !== undefined) records.push(record);
      else {
        this.#log.warn('unreadable pod file removed', { path });
        await rm(path, { force: true });
      }
    }
    return records;
  }

  #path(uid: string): string {
    return join(this.#directory, `${uid}.json`);
  }
}

// Written by us, mode 0600: what is checked is that it is whole, not that it is honest.
function parseRecord(text: string): PodRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<PodRecord>;
    const whole = record.uid && record.handle && record.spec && record.sandbox && record.holder;
    return whole ? (record as PodRecord) : undefined;
  } catch {
    return undefined;
  }
}
