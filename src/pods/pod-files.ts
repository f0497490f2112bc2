// SPDX-License-Identifier: Apache-2.0

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { naming, namingAsync } from '../config/setting-error.ts';
import { writeFileAtomically } from '../host/atomic-file.ts';
import { listIfThere, readIfThere } from '../host/if-there.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import type { PodRecord } from './pod.ts';

const SUFFIX = '.json';
// Two pages: a pod has a file, and needs room for the one that replaces it.
const TRIAL_BYTES = 8192;

/** The pods that a run directory tells of; a file that is none of a pod is left out, and left there. */
export async function readPodRecords(directory: string): Promise<readonly PodRecord[]> {
  const paths = (await listIfThere(directory)).filter(isPodFile).map((name) => join(directory, name));
  const records = await Promise.all(paths.map(async (path) => parseRecord((await readIfThere(path)) ?? '')));
  return records.filter((record) => typeof record !== 'string');
}

/**
 * Whether a run directory holds pods, by their files: what a write that failed left beside them is none.
 *
 * One that cannot be read may hold some: what captures them must stay.
 */
export async function mayHavePodFiles(directory: string): Promise<boolean> {
  try {
    return (await listIfThere(directory)).some(isPodFile);
  } catch {
    return true;
  }
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

  /** Whether pods of this node may outlive the agent. What is in memory counts, not what could be removed from the disk. */
  async mayHavePods(): Promise<boolean> {
    return this.#known === undefined ? mayHavePodFiles(this.#directory) : this.#known.size > 0;
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

  /**
   * Every record. A file whose content is none is named and removed: its pod is found by the sweep all the same.
   *
   * Throws `SettingError` when something cannot be read; nothing is removed then, since that pod may well live.
   */
  async readAll(): Promise<readonly PodRecord[]> {
    const contents = await this.#readContents();
    const records: PodRecord[] = [];
    for (const [path, text] of contents) {
      const record = text === undefined ? 'a write that was cut short left it' : parseRecord(text);
      if (typeof record !== 'string') records.push(record);
      else {
        this.#log.warn('unreadable pod file removed', { path, reason: record });
        await rm(path, { force: true });
      }
    }
    this.#known = new Set(records.map((record) => record.uid));
    return records;
  }

  /** Each file by its path; `undefined` for what is no pod's by its name. */
  async #readContents(): Promise<ReadonlyMap<string, string | undefined>> {
    const hint = 'see what is in the way, and start the agent again; its pods stay as they are until then';
    // What a read throws does not always say of which file.
    const reading = <T>(value: string, read: () => Promise<T>): Promise<T> =>
      namingAsync({ flag: 'run-dir', value, tried: 'read', hint }, read);
    const contents = new Map<string, string | undefined>();
    for (const name of await reading(this.#directory, () => listIfThere(this.#directory))) {
      const path = join(this.#directory, name);
      contents.set(path, isPodFile(name) ? await reading(path, () => readFile(path, 'utf8')) : undefined);
    }
    return contents;
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

function isPodFile(name: string): boolean {
  return name.endsWith(SUFFIX);
}

// Written by us, mode 0600: what is checked is that it is whole, not that it is honest. A text says why it is not.
function parseRecord(text: string): PodRecord | string {
  try {
    const record = JSON.parse(text) as Partial<PodRecord>;
    const whole = record.uid && record.handle && record.spec && record.sandbox && record.holder;
    return whole ? (record as PodRecord) : 'it is not the whole of a pod';
  } catch (error) {
    return errorText(error);
  }
}
