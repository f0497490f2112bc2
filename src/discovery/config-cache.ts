// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeNamedDirectory } from '../config/paths.ts';
import { naming } from '../config/setting-error.ts';
import { Journal } from '../host/journal.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { isMissing } from '../model/file-error.ts';
import type { Log } from '../model/log.ts';
import type { ReceivedResource, ReceivedStore } from './delta-client.ts';
import { isResourceType, type ResourceType } from './resource.ts';

const FORMAT = 'groundwire-config 2';
/** As versions before 0.2 wrote it: with the digest of the rest, a JSON line for each resource. */
const EARLIER_FORMAT = 'groundwire-config 1';
/** Changes gather for this long before they are written. */
const WRITE_DELAY_MS = 1_000;

export interface ConfigCacheOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** A resource as it is kept; `bytes` in base64. */
interface KeptResource {
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly bytes: string;
}

/**
 * The last good configuration on disk, so that a node that starts without its control plane still enforces.
 *
 * A file that is damaged counts as none; a disk that is full costs the copy, never the configuration in force. A change
 * is written by itself, whatever else there is.
 */
export class ConfigCache implements ReceivedStore {
  readonly counters = { writes: 0, writeFailures: 0, unreadable: 0 };
  readonly #options: ConfigCacheOptions;
  readonly #journal: Journal<KeptResource>;
  readonly #resources = new Map<string, ReceivedResource>();
  readonly #changed = new Set<string>();
  #cancelWrite: Cancel | undefined;

  constructor(options: ConfigCacheOptions) {
    this.#options = options;
    this.#journal = new Journal({ path: options.path, format: FORMAT, durable: false });
  }

  /** What an earlier run left; empty when there is nothing usable. */
  async load(): Promise<readonly ReceivedResource[]> {
    const { path, log } = this.#options;
    try {
      const kept = readEarlier(path) ?? this.#journal.read();
      if (kept === undefined) return [];
      for (const value of kept.values()) {
        const resource = toReceived(value);
        this.#resources.set(keyOf(resource.type, resource.name), resource);
      }
      log.info('last good configuration loaded', { path, resources: this.#resources.size });
      return [...this.#resources.values()];
    } catch (error) {
      this.#resources.clear();
      this.counters.unreadable += 1;
      log.warn('last good configuration not usable, starting without it', { path, reason: String(error) });
      return [];
    }
  }

  record(type: ResourceType, received: readonly ReceivedResource[], removals: readonly string[]): void {
    // Removals first, as everywhere: a name in both is there.
    for (const name of removals) this.#change(keyOf(type, name), undefined);
    for (const resource of received) this.#change(keyOf(type, resource.name), resource);
    this.#cancelWrite ??= this.#options.clock.setTimer(WRITE_DELAY_MS, () => this.#write());
  }

  /** Writes what is still to be written. */
  async close(): Promise<void> {
    if (this.#cancelWrite !== undefined) {
      this.#cancelWrite();
      this.#write();
    }
    await this.#journal.close();
  }

  #change(key: string, resource: ReceivedResource | undefined): void {
    if (resource === undefined) this.#resources.delete(key);
    else this.#resources.set(key, resource);
    this.#changed.add(key);
  }

  #write(): void {
    this.#cancelWrite = undefined;
    const { path, log } = this.#options;
    const hint = 'name a directory for it';
    const changes = Array.from(this.#changed, (key) => [key, toKept(this.#resources.get(key))] as const);
    this.#changed.clear();
    try {
      makeNamedDirectory('state-dir', dirname(path), dirname(path), 0o700);
      naming({ flag: 'state-dir', value: dirname(path), tried: 'written to', hint }, () =>
        this.#journal.append(changes, () => this.#all()),
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

  *#all(): Iterable<readonly [string, KeptResource]> {
    for (const [key, resource] of this.#resources) yield [key, toKept(resource)];
  }
}

function toKept(resource: ReceivedResource): KeptResource;
function toKept(resource: ReceivedResource | undefined): KeptResource | undefined;
function toKept(resource: ReceivedResource | undefined): KeptResource | undefined {
  return resource && { ...resource, bytes: Buffer.from(resource.bytes).toString('base64') };
}

function toReceived(value: unknown): ReceivedResource {
  const { type, name, version, bytes } = value as Record<string, unknown>;
  if (typeof type !== 'string' || !isResourceType(type) || typeof name !== 'string')
    throw new Error('a resource without type or name');
  if (typeof version !== 'string' || typeof bytes !== 'string') throw new Error(`${name}: no version or content`);
  return { type, name, version, bytes: Buffer.from(bytes, 'base64') };
}

/** `undefined` for a file of today's form, and where there is none. */
function readEarlier(path: string): ReadonlyMap<string, unknown> | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  if (!text.startsWith(`${EARLIER_FORMAT} `)) return undefined;
  const [head = '', ...lines] = text.split('\n');
  const digest = createHash('sha256').update(lines.join('\n')).digest('hex');
  if (head !== `${EARLIER_FORMAT} ${digest}`) throw new Error('the file is damaged');
  const values = lines.flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]));
  return new Map(values.map((value, index) => [String(index), value]));
}

function keyOf(type: ResourceType, name: string): string {
  return `${type} ${name}`;
}
