// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { fileExists } from '../config/paths.ts';
import type { RegisteredPod } from '../discovery/pod-table.ts';
import { Journal, JournalDamaged, type JournalEntries } from '../host/journal.ts';
import type { Log } from '../model/log.ts';
import type { FileInForce } from '../objects/object-store.ts';
import { type ParsedManifest, readObjects } from '../objects/read-objects.ts';
import { RestoreError } from './restore-error.ts';
import { StateFile, StateFileDamaged } from './state-file.ts';

/**
 * What a control plane remembers over a restart: the pods that nodes reported and the manifests in force.
 *
 * It is written before it is published. A control plane that came back with less than it has published would have every
 * agent drop the rest, and what no agent knows is carried in plaintext.
 */
export class KeptState {
  readonly counters = { writes: 0, writeFailures: 0, unreadable: 0 };
  readonly #pods: KeptTable<RegisteredPod>;
  readonly #manifests: KeptTable<FileInForce>;
  readonly #log: Log;
  readonly #failing = new Set<string>();

  constructor(stateDirectory: string, log: Log) {
    const pods = join(stateDirectory, 'registry.json');
    const manifests = join(stateDirectory, 'manifests.json');
    this.#pods = {
      journal: new Journal({ path: pods, format: 'groundwire-registry 2', durable: true }),
      earlier: new StateFile(pods, 'groundwire-registry 1'),
      keyOf: ({ uid }) => uid,
    };
    this.#manifests = {
      journal: new Journal({ path: manifests, format: 'groundwire-manifests 2', durable: true }),
      earlier: new StateFile(manifests, 'groundwire-manifests 1'),
      keyOf: ({ file }) => file,
    };
    this.#log = log;
  }

  /** Whether an earlier run has left manifests. */
  get hasManifests(): boolean {
    return fileExists(this.#manifests.journal.path);
  }

  /** Throws `RestoreError` when the file is there and cannot be used: nothing else knows these pods at start. */
  loadPods(): readonly RegisteredPod[] {
    try {
      return [...read(this.#pods).values()];
    } catch (cause) {
      throw new RestoreError(
        `the registered pods cannot be restored: ${(cause as Error).message}. Restore ${this.#pods.journal.path} from a backup; or remove it, and pods of nodes that are not attached again leave the mesh until they are`,
        { cause },
      );
    }
  }

  /** Empty when there is no usable file: the manifests directory says the same, but for what is broken in it. */
  loadManifests(): ParsedManifest[] {
    try {
      return [...read(this.#manifests).values()].map(({ file, objects }) =>
        readObjects(
          file,
          objects.map(({ source }) => source),
          (index) => objects[index]?.line ?? 1,
        ),
      );
    } catch (error) {
      this.counters.unreadable += 1;
      const { path } = this.#manifests.journal;
      this.#log.error('last good manifests not usable: what is broken in the directory has no last good version', {
        path,
        reason: isDamage(error) ? error.message : String(error),
      });
      return [];
    }
  }

  /** False when it could not be written; that has been told then, and the next call writes all that there is. */
  savePods(changes: KeptChanges<RegisteredPod>, all: JournalEntries<RegisteredPod>): boolean {
    return this.#save(this.#pods.journal, changes, all);
  }

  saveManifests(changes: KeptChanges<FileInForce>, all: JournalEntries<FileInForce>): boolean {
    return this.#save(this.#manifests.journal, changes, all);
  }

  async close(): Promise<void> {
    await Promise.all([this.#pods.journal.close(), this.#manifests.journal.close()]);
  }

  // A full disk costs the memory of it, never the mesh in force.
  #save<T>(journal: Journal<T>, changes: KeptChanges<T>, all: JournalEntries<T>): boolean {
    const { path } = journal;
    try {
      journal.append(changes, all);
      this.counters.writes += 1;
      if (this.#failing.delete(path)) this.#log.info('state written again', { path });
      return true;
    } catch (error) {
      this.counters.writeFailures += 1;
      if (this.#failing.has(path)) return false;
      this.#failing.add(path);
      this.#log.error('state not written: a restart would not know it; free space on the disk', {
        path,
        reason: String(error),
      });
      return false;
    }
  }
}

/** By key; `undefined`: gone. */
export type KeptChanges<T> = ReadonlyMap<string, T | undefined>;

interface KeptTable<T> {
  readonly journal: Journal<T>;
  /** The file as versions before 0.2 wrote it. */
  readonly earlier: StateFile<readonly T[]>;
  readonly keyOf: (value: T) => string;
}

function read<T>({ journal, earlier, keyOf }: KeptTable<T>): ReadonlyMap<string, T> {
  if (!earlier.isOfFormat()) return journal.read() ?? new Map();
  return new Map((earlier.read() ?? []).map((value) => [keyOf(value), value]));
}

function isDamage(error: unknown): error is Error {
  return error instanceof StateFileDamaged || error instanceof JournalDamaged;
}
