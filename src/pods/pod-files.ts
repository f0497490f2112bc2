// SPDX-License-Identifier: Apache-2.0

import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { naming } from '../config/setting-error.ts';
import { writeFileAtomically } from '../host/atomic-file.ts';
import type { Log } from '../model/log.ts';
import type { PodRecord } from './pod.ts';

const SUFFIX = '.json';
// Two pages: a pod has a file, and needs room for the one that replaces it.
const TRIAL_BYTES = 8192;

/** The pods that a run directory tells of; what cannot be read is left out, and left there. */
export async function readPodRecords(directory: string): Promise<readonly PodRecord[]> {
  const names = await readdir(directory).catch(() => []);
  const records = await Promise.all(names.map((name) => readRecord(join(directory, name))));
  return records.filter((record) => record !== undefined);
}

/** Whether a run directory holds pods, by their files: what a write that failed left beside them is none. */
export async function hasPodFiles(directory: string): Promise<boolean> {
  const names = await readdir(directory).catch(() => []);
  return names.some((name) => name.endsWith(SUFFIX));
}

/** The pods of this node on disk, a file each, so that an agent that was restarted knows whom it serves. */
export class PodFiles {
  readonly counters = { writeFailures: 0, removalFailures: 0 };
  readonly #directory: string;
  readonly #log: Log;
  /** Pods that have a file; `undefined` until the directory was read. */
  #known: Set<string> | undefined;
  #problem: string | undefined;

  constructor(directory: string, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Why the last file could not be written; `undefined` since one could. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether pods of this node outlive the agent. What is in memory counts, not what could be removed from the disk. */
  async hasPods(): Promise<boolean> {
    return this.#known === undefined ? hasPodFiles(this.#directory) : this.#known.size > 0;
  }

  /** A reader, or the next agent after a crash, sees the old or the new, never half. Throws `SettingError`. */
  write(record: PodRecord): void {
    this.#write(this.#path(record.uid), JSON.stringify(record, null, 2));
    this.#known?.add(record.uid);
  }

  /** The pod is gone. A file that cannot be removed is told; the next agent finds its holder dead, and removes it. */
  async remove(uid: string): Promise<void> {
    this.#known?.delete(uid);
    const path = this.#path(uid);
    await rm(path, { force: true }).catch((error: unknown) => {
      this.counters.removalFailures += 1;
      this.#log.warn('pod file not removed', { path, error: String(error) });
    });
  }

  /** After a write that failed: tries whether one works again. */
  async retry(): Promise<void> {
    if (this.#problem === undefined) return;
    const trial = join(this.#directory, 'trial');
    try {
      writeFileAtomically(trial, ' '.repeat(TRIAL_BYTES), 0o600);
      await rm(trial, { force: true });
    } catch {
      return;
    }
    this.#problem = undefined;
    this.#log.info('pod files can be written again', { path: this.#directory });
  }

  /** Every record; a file that cannot be read is named and removed, since its pod is found by the sweep all the same. */
  async readAll(): Promise<readonly PodRecord[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const records: PodRecord[] = [];
    for (const name of names) {
      const path = join(this.#directory, name);
      const record = await readRecord(path);
      if (record !== undefined) records.push(record);
      else {
        this.#log.warn('unreadable pod file removed', { path });
        await rm(path, { force: true });
      }
    }
    this.#known = new Set(records.map((record) => record.uid));
    return records;
  }

  #write(path: string, content: string): void {
    try {
      naming(
        {
          flag: 'run-dir',
          value: this.#directory,
          tried: 'written to',
          hint: 'name a directory that can be written to',
        },
        () => writeFileAtomically(path, content, 0o600),
      );
      this.#problem = undefined;
    } catch (error) {
      this.counters.writeFailures += 1;
      this.#problem = (error as Error).message;
      throw error;
    }
  }

  #path(uid: string): string {
    return join(this.#directory, `${uid}${SUFFIX}`);
  }
}

async function readRecord(path: string): Promise<PodRecord | undefined> {
  return path.endsWith(SUFFIX) ? parseRecord(await readFile(path, 'utf8').catch(() => '')) : undefined;
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
