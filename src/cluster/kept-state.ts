// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { fileExists } from '../config/paths.ts';
import type { RegisteredPod } from '../discovery/pod-table.ts';
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
  readonly #pods: StateFile<readonly RegisteredPod[]>;
  readonly #manifests: StateFile<readonly FileInForce[]>;
  readonly #log: Log;
  readonly #failing = new Set<string>();

  constructor(stateDirectory: string, log: Log) {
    this.#pods = new StateFile(join(stateDirectory, 'registry.json'), 'groundwire-registry 1');
    this.#manifests = new StateFile(join(stateDirectory, 'manifests.json'), 'groundwire-manifests 1');
    this.#log = log;
  }

  /** Whether an earlier run has left manifests. */
  get hasManifests(): boolean {
    return fileExists(this.#manifests.path);
  }

  /** Throws `RestoreError` when the file is there and cannot be used: nothing else knows these pods at start. */
  loadPods(): readonly RegisteredPod[] {
    try {
      return this.#pods.read() ?? [];
    } catch (cause) {
      throw new RestoreError(
        `the registered pods cannot be restored: ${(cause as Error).message}. Restore ${this.#pods.path} from a backup; or remove it, and pods of nodes that are not attached again leave the mesh until they are`,
        { cause },
      );
    }
  }

  /** Empty when there is no usable file: the manifests directory says the same, but for what is broken in it. */
  loadManifests(): ParsedManifest[] {
    try {
      return (this.#manifests.read() ?? []).map(({ file, objects }) =>
        readObjects(
          file,
          objects.map(({ source }) => source),
          (index) => objects[index]?.line ?? 1,
        ),
      );
    } catch (error) {
      this.counters.unreadable += 1;
      const { path } = this.#manifests;
      this.#log.error('last good manifests not usable: what is broken in the directory has no last good version', {
        path,
        reason: error instanceof StateFileDamaged ? error.message : String(error),
      });
      return [];
    }
  }

  /** False when it could not be written; that has been told then. */
  savePods(pods: readonly RegisteredPod[]): boolean {
    return this.#save(this.#pods, pods);
  }

  saveManifests(files: readonly FileInForce[]): boolean {
    return this.#save(this.#manifests, files);
  }

  // A full disk costs the memory of it, never the mesh in force.
  #save<T>(file: StateFile<T>, value: T): boolean {
    const { path } = file;
    try {
      file.write(value);
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
