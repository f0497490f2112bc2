// SPDX-License-Identifier: Apache-2.0

import type { EncodedResource } from './resource.ts';
import type { ResourceTable } from './resource-table.ts';

/** What is to be sent in one response. */
export interface DeltaBatch {
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
}

/** What a response may tell: what there is, or also what is gone. */
export type DeltaPart = 'upserts' | 'all';

/** A response stays far below the 200 MiB that clients accept; the rest follows after its ACK. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;

/**
 * What one client knows of one type, and what it still has to hear.
 *
 * Instead of a queue of changes it holds the set of names to look at again, so a slow client costs at most one name a
 * resource, and ten changes of one resource reach it as the last one.
 */
export class Subscription {
  readonly #table: ResourceTable;
  /** name → version that the client has. */
  readonly #known = new Map<string, string>();
  readonly #keys = new Set<string>();
  /** Keys that were asked for and name nothing: the client has to be told once. */
  readonly #missing = new Set<string>();
  readonly #pending = new Set<string>();
  #wildcard = false;
  #owesAnswer = true;

  constructor(table: ResourceTable) {
    this.#table = table;
  }

  /** The client's first request of the type: what it still has from an earlier stream, and what it wants. */
  open(subscribe: readonly string[], unsubscribe: readonly string[], versions: Readonly<Record<string, string>>): void {
    // Naming nothing at first asks for everything (xDS protocol, "wildcard").
    this.#wildcard = subscribe.length === 0;
    this.update(subscribe, unsubscribe);
    // After `update`, which forgets what is asked for by name: here it is asked for because the stream is new.
    for (const [name, version] of Object.entries(versions)) this.#known.set(name, version);
    if (this.#wildcard) for (const name of this.#table.names()) this.#pending.add(name);
    for (const name of this.#known.keys()) this.#pending.add(name);
  }

  update(subscribe: readonly string[], unsubscribe: readonly string[]): void {
    for (const key of subscribe) {
      if (key === '*') {
        this.#wildcard = true;
        for (const name of this.#table.names()) this.#pending.add(name);
        continue;
      }
      this.#keys.add(key);
      const names = this.#table.resolve(key);
      if (names.size === 0) this.#missing.add(key);
      for (const name of names) {
        // Asked for by name: it is sent even if the client has had it (xDS protocol, delta).
        this.#known.delete(name);
        this.#pending.add(name);
      }
    }
    for (const key of unsubscribe) {
      if (key === '*') this.#stopWildcard();
      else this.#keys.delete(key);
      this.#missing.delete(key);
    }
  }

  /** The table has changed under these names. */
  touch(changed: ReadonlySet<string>): void {
    for (const name of changed) this.#pending.add(name);
    if (this.#wildcard) return;
    // A key may name something else now than it did.
    for (const key of this.#keys)
      for (const name of this.#table.resolve(key)) if (changed.has(name)) this.#pending.add(name);
  }

  /** Whether there is something that the client has to hear of and has not been sent: of this part, or of any. */
  owes(part: DeltaPart): boolean {
    const wanted = this.#wildcard ? undefined : this.#wantedNames();
    for (const name of this.#pending) {
      const resource = this.#table.find(name);
      if (resource === undefined ? part === 'all' && this.#known.has(name) : this.#isNews(resource, wanted))
        return true;
    }
    return false;
  }

  /**
   * The next response, or `undefined` when there is nothing to say of this part. The very first may be empty.
   *
   * What is gone is told with `all` only.
   */
  take(part: DeltaPart = 'all'): DeltaBatch | undefined {
    const wanted = this.#wildcard ? undefined : this.#wantedNames();
    const resources: EncodedResource[] = [];
    const removed = new Set(this.#missing);
    this.#missing.clear();
    let bytes = 0;
    for (const name of this.#pending) {
      if (bytes >= BATCH_BYTES_MAX) break;
      const resource = this.#table.find(name);
      if (resource === undefined && part === 'upserts') continue;
      this.#pending.delete(name);
      if (resource === undefined) {
        if (this.#known.delete(name)) removed.add(name);
        continue;
      }
      if (!this.#isNews(resource, wanted)) continue;
      this.#known.set(name, resource.version);
      resources.push(resource);
      bytes += resource.bytes.length;
    }
    if (resources.length === 0 && removed.size === 0 && !this.#owesAnswer) return undefined;
    this.#owesAnswer = false;
    return { resources, removed: [...removed] };
  }

  #isNews({ name, version }: EncodedResource, wanted: ReadonlySet<string> | undefined): boolean {
    return wanted?.has(name) !== false && this.#known.get(name) !== version;
  }

  // Whoever asked for everything first and then takes it back wants what it names from now on, and nothing else.
  #stopWildcard(): void {
    this.#wildcard = false;
    this.#pending.clear();
    for (const key of this.#keys) for (const name of this.#table.resolve(key)) this.#pending.add(name);
  }

  #wantedNames(): Set<string> {
    const names = new Set<string>();
    for (const key of this.#keys) for (const name of this.#table.resolve(key)) names.add(name);
    return names;
  }
}
