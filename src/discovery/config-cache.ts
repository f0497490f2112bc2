// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeNamedDirectory } from '../config/paths.ts';
import { namingAsync } from '../config/setting-error.ts';
import { writeFileAtomicallyAsync } from '../host/atomic-file.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { isMissing } from '../model/file-error.ts';
import type { Log } from '../model/log.ts';
import type { ReceivedResource, ReceivedStore } from './delta-client.ts';
import { isResourceType, type ResourceType } from './resource.ts';

const FORMAT = 'groundwire-config 1';
/** Changes gather for this long before the file is written again. */
const WRITE_DELAY_MS = 1_000;

export interface ConfigCacheOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The last good configuration on disk, so that a node that starts without its control plane still enforces.
 *
 * A file that is damaged counts as none; a disk that is full costs the copy, never the configuration in force.
 * File: a line with format and SHA-256 of the rest, then a JSON line for each resource.
 */
export class ConfigCache implements ReceivedStore {
  readonly counters = { writes: 0, writeFailures: 0, unreadable: 0 };
  readonly #options: ConfigCacheOptions;
  readonly #resources = new Map<string, ReceivedResource>();
  #cancelWrite: Cancel | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: ConfigCacheOptions) {
    this.#options = options;
  }

  /** What an earlier run left; empty when there is nothing usable. */
  async load(): Promise<readonly ReceivedResource[]> {
    const { path, log } = this.#options;
    try {
      const resources = parseCache(await readFile(path, 'utf8'));
      for (const resource of resources) this.#resources.set(keyOf(resource.type, resource.name), resource);
      log.info('last good configuration loaded', { path, resources: resources.length });
      return resources;
    } catch (error) {
      if (isMissing(error)) return [];
      this.counters.unreadable += 1;
      log.warn('last good configuration not usable, starting without it', { path, reason: String(error) });
      return [];
    }
  }

  record(type: ResourceType, received: readonly ReceivedResource[], removals: readonly string[]): void {
    // Removals first, as everywhere: a name in both is there.
    for (const name of removals) this.#resources.delete(keyOf(type, name));
    for (const resource of received) this.#resources.set(keyOf(type, resource.name), resource);
    this.#cancelWrite ??= this.#options.clock.setTimer(WRITE_DELAY_MS, () => {
      this.#cancelWrite = undefined;
      this.#writing = this.#writing.then(() => this.#write());
    });
  }

  /** Writes what is still to be written. */
  async close(): Promise<void> {
    if (this.#cancelWrite !== undefined) {
      this.#cancelWrite();
      this.#cancelWrite = undefined;
      this.#writing = this.#writing.then(() => this.#write());
    }
    await this.#writing;
  }

  async #write(): Promise<void> {
    const { path, log } = this.#options;
    const hint = 'name a directory for it';
    try {
      makeNamedDirectory('state-dir', dirname(path), dirname(path), 0o700);
      await namingAsync({ flag: 'state-dir', value: dirname(path), tried: 'written to', hint }, () =>
        writeFileAtomicallyAsync(path, formatCache(this.#resources.values()), 0o600),
      );
      this.counters.writes += 1;
    } catch (error) {
      this.counters.writeFailures += 1;
      log.error('last good configuration not written: a start without the control plane would not know it', {
        path,
        reason: (error as Error).message,
      });
    }
  }
}

function formatCache(resources: Iterable<ReceivedResource>): string {
  const lines = [...resources].map(({ type, name, version, bytes }) =>
    JSON.stringify({ type, name, version, bytes: Buffer.from(bytes).toString('base64') }),
  );
  const body = lines.join('\n');
  return `${FORMAT} ${digest(body)}\n${body}`;
}

function parseCache(text: string): ReceivedResource[] {
  const end = text.indexOf('\n');
  const body = text.slice(end + 1);
  if (end < 0 || text.slice(0, end) !== `${FORMAT} ${digest(body)}`)
    throw new Error('the file is damaged or of another version');
  return body === '' ? [] : body.split('\n').map(parseLine);
}

function parseLine(line: string): ReceivedResource {
  const { type, name, version, bytes } = JSON.parse(line) as Record<string, unknown>;
  if (typeof type !== 'string' || !isResourceType(type) || typeof name !== 'string')
    throw new Error('a resource without type or name');
  if (typeof version !== 'string' || typeof bytes !== 'string') throw new Error(`${name}: no version or content`);
  return { type, name, version, bytes: Buffer.from(bytes, 'base64') };
}

function keyOf(type: ResourceType, name: string): string {
  return `${type} ${name}`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
