// SPDX-License-Identifier: Apache-2.0

// One resource of an API server, followed for ever:
//
//   Listing ──all pages──> Watching ──ended, broke, fell silent──> Watching, from the last version seen
//      ^                      │ 410 Gone
//      └───────pause──────────┘            close() from anywhere: Closed

import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { QuietLog } from '../model/quiet-log.ts';
import type { ApiClient, WatchEvent } from './api-client.ts';
import { ApiError } from './api-error.ts';

/** An object as Kubernetes stores it; of its own words only the name is looked at here. */
export interface ApiObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion: string;
  };
}

/** What the reflectors of one source have done. */
export type WatchCounters = ReturnType<typeof makeWatchCounters>;

export function makeWatchCounters() {
  return { lists: 0, watches: 0, events: 0, expired: 0, failures: 0 };
}

export interface ReflectorOptions {
  readonly client: Pick<ApiClient, 'get' | 'watch'>;
  /** Of the list, without a query: `/api/v1/pods`. */
  readonly path: string;
  /** Narrows the list: `fieldSelector=spec.nodeName=n1`. */
  readonly selector?: string;
  /** True: the server need not know the resource (a CRD that is not installed); it is looked for again and again. */
  readonly optional?: boolean;
  /** Everything there is, after each list. */
  readonly onList: (objects: readonly ApiObject[]) => void;
  readonly onChange: (object: ApiObject) => void;
  readonly onDelete: (object: ApiObject) => void;
  /** Counted here; of several reflectors together where they are given the same. */
  readonly counters: WatchCounters;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

const PAGE = 500;
const WATCH_S = 300;
// A server sends a bookmark about once a minute and ends the watch in time; what is silent for longer is not there.
const SILENCE_MAX_MS = 150_000;
// A watch that lasted for so long was one.
const STANDING_MS = 1000;
const RETRY = { initialMs: 500, maxMs: 30_000, jitter: 0.3 };
const ABSENT_RETRY_MS = 10_000;

type State = 'listing' | 'watching' | 'waiting' | 'absent' | 'closed';

/** Lists one resource and follows its changes. */
export class Reflector {
  readonly counters: WatchCounters;
  readonly #options: ReflectorOptions;
  readonly #backoff: Backoff;
  readonly #outage: QuietLog;
  readonly #ending = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  #state: State = 'waiting';
  #version: string | undefined;
  #lastError = '';
  #cancelPause: Cancel = () => {};

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.counters = options.counters;
    this.#backoff = new Backoff(RETRY, options.random);
    this.#outage = new QuietLog(options.clock);
  }

  /** Resolves once everything has been listed, or the server has said that it does not know the resource. */
  open(): Promise<void> {
    void this.#run();
    return this.#synced.promise;
  }

  get status(): { readonly state: State; readonly lastError: string } {
    return { state: this.#state, lastError: this.#lastError };
  }

  close(): void {
    this.#state = 'closed';
    this.#ending.abort();
    this.#cancelPause();
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const pauseMs = await this.#step();
      if (pauseMs > 0) await this.#pause(pauseMs);
    }
  }

  /** One list or one watch; how long to wait before the next. */
  async #step(): Promise<number> {
    const begunMs = this.#options.clock.nowMs();
    try {
      if (this.#version === undefined) await this.#list();
      else await this.#watch(this.#version);
      this.#lastError = '';
      // A server that ends each watch at once is asked no faster than one that refuses it.
      if (this.#state === 'watching' && this.#options.clock.nowMs() - begunMs < STANDING_MS)
        return this.#backoff.next();
      this.#backoff.reset();
      this.#outage.reset();
      return 0;
    } catch (error) {
      return this.#ending.signal.aborted ? 0 : this.#failed(error);
    }
  }

  async #list(): Promise<void> {
    const { client, path } = this.#options;
    this.#setState('listing');
    this.counters.lists += 1;
    const objects: ApiObject[] = [];
    let version = '';
    let next = '';
    do {
      const page = readPage(await client.get(`${path}?${this.#query(next)}`, this.#ending.signal), path);
      objects.push(...page.objects);
      ({ version, next } = page);
    } while (next !== '');
    this.#ending.signal.throwIfAborted();
    this.#version = version;
    this.#options.onList(objects);
    this.#synced.resolve();
  }

  async #watch(from: string): Promise<void> {
    const { client, path, selector } = this.#options;
    this.#setState('watching');
    this.counters.watches += 1;
    const query = new URLSearchParams({
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion: from,
      timeoutSeconds: String(WATCH_S),
    });
    const narrowed = selector === undefined ? '' : `&${selector}`;
    await client.watch(`${path}?${query.toString()}${narrowed}`, {
      onEvent: (event) => this.#take(event),
      silenceMaxMs: SILENCE_MAX_MS,
      signal: this.#ending.signal,
    });
  }

  #take({ type, object }: WatchEvent): void {
    if (this.#ending.signal.aborted) return;
    if (!isApiObject(object, type === 'BOOKMARK')) throw new ApiError(`an event of type ${type} has no object`, 0);
    this.#version = object.metadata.resourceVersion;
    this.counters.events += 1;
    if (type === 'ADDED' || type === 'MODIFIED') this.#options.onChange(object);
    else if (type === 'DELETED') this.#options.onDelete(object);
  }

  #query(next: string): string {
    const { selector } = this.#options;
    const query = new URLSearchParams({ limit: String(PAGE), ...(next !== '' && { continue: next }) });
    return query.toString() + (selector === undefined ? '' : `&${selector}`);
  }

  #failed(error: unknown): number {
    const { log, path, optional = false } = this.#options;
    if (error instanceof ApiError && error.isExpired) {
      this.counters.expired += 1;
      this.#version = undefined;
      // At once, but not in a circle: a server may say so of every version.
      return this.#backoff.next();
    }
    if (optional && error instanceof ApiError && error.status === 404) {
      this.#setState('absent');
      this.#version = undefined;
      this.#options.onList([]);
      this.#synced.resolve();
      return ABSENT_RETRY_MS;
    }
    this.counters.failures += 1;
    this.#lastError = errorText(error);
    this.#setState('waiting');
    const asked = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
    const pauseMs = Math.max(asked, this.#backoff.next());
    this.#outage.say((unsaid) =>
      log.warn('resource not followed, what was seen last stays', {
        resource: path,
        error: this.#lastError,
        retry_ms: Math.round(pauseMs),
        unsaid,
      }),
    );
    return pauseMs;
  }

  #setState(state: State): void {
    if (this.#state !== 'closed') this.#state = state;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.setTimer(ms, resolve);
      this.#cancelPause = () => {
        cancel();
        resolve();
      };
    });
  }
}

interface Page {
  readonly objects: readonly ApiObject[];
  readonly version: string;
  /** "" on the last one. */
  readonly next: string;
}

function readPage(value: unknown, path: string): Page {
  const { apiVersion, kind, metadata, items } = (value ?? {}) as {
    apiVersion?: unknown;
    kind?: unknown;
    metadata?: { resourceVersion?: unknown; continue?: unknown };
    items?: unknown;
  };
  const version = metadata?.resourceVersion;
  if (typeof version !== 'string' || !Array.isArray(items)) throw new ApiError(`the answer to ${path} is no list`, 0);
  // The items of a list leave out what the list says once for all of them.
  const own = { apiVersion, kind: typeof kind === 'string' ? kind.replace(/List$/, '') : kind };
  const objects = items.map((item: unknown) => ({ ...own, ...(item as object) }));
  const bad = objects.find((object) => !isApiObject(object, false));
  if (bad !== undefined) throw new ApiError(`the list of ${path} holds what has no name`, 0);
  const next = metadata?.continue;
  return { objects: objects as unknown as ApiObject[], version, next: typeof next === 'string' ? next : '' };
}

function isApiObject(value: unknown, nameless: boolean): value is ApiObject {
  const { metadata } = (value ?? {}) as { metadata?: { name?: unknown; resourceVersion?: unknown } };
  const isNamed = nameless || typeof metadata?.name === 'string';
  return isNamed && typeof metadata?.resourceVersion === 'string';
}
