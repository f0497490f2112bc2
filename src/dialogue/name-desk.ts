// SPDX-License-Identifier: Apache-2.0

// The life of a name:
//   wanted ─→ looked up ─→ found, for its TTL ─→ looked up again ─→ … ─→ not wanted for REFRESHES times: let go
//                 │  └─→ none, for a while ─→ let go
//                 └─→ failed: what was found last stays for STALE_MAX_MS; tried again every RETRY_MS
// What is let go is looked up again when somebody wants it: verdicts that hang on it are taken back with it.

import type { ResolvedName } from '../mesh/resolved-name.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import { QuietLogs } from '../model/quiet-logs.ts';
import type { HostAnswer, LookUpHost } from '../node/host-lookup.ts';

/** What comes of a name, with how long that holds. */
export type NameAnswer =
  | (ResolvedName & { readonly kind: 'found'; readonly ttlSeconds: number })
  | Exclude<ResolvedName, { kind: 'found' }>;

export interface NameDeskParts {
  readonly lookUp: LookUpHost;
  /** Tells the mesh; `undefined`: the name is let go. */
  readonly setName: (hostname: string, resolved: ResolvedName | undefined) => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Entry {
  resolved: ResolvedName | undefined;
  untilMs: number;
  /** When the addresses in force were last confirmed. */
  goodMs: number;
  refreshesLeft: number;
  /** Why the last try failed; "" when it did not. */
  problem: string;
  cancel: Cancel;
  readonly waiting: ((answer: NameAnswer) => void)[];
}

// A name of less would be asked for at every connection, of more nobody would see a move.
const TTL_MIN_MS = 1_000;
const TTL_MAX_MS = 3_600_000;
const NONE_MS = 30_000;
const RETRY_MS = 5_000;
const STALE_MAX_MS = 600_000;
const REFRESHES = 10;
/** Names known at once; beyond it those that are wanted anew fail. */
const NAMES_MAX = 10_000;
const LOOKUPS_AT_ONCE_MAX = 64;
const PROBLEMS_SHOWN = 10;

/** Resolves the host names by which endpoints, and ExternalNames, are known, and keeps to their TTL. */
export class NameDesk {
  readonly counters = { lookups: 0, failures: 0, refused: 0 };
  readonly #parts: NameDeskParts;
  readonly #entries = new Map<string, Entry>();
  readonly #queue: string[] = [];
  readonly #failures: QuietLogs;
  #underWay = 0;
  #closed = false;

  constructor(parts: NameDeskParts) {
    this.#parts = parts;
    this.#failures = new QuietLogs(parts.clock);
  }

  get size(): number {
    return this.#entries.size;
  }

  get max(): number {
    return NAMES_MAX;
  }

  /** Somebody needs the name: what comes of it is told by `setName`, now or later. */
  want(hostname: string): void {
    const known = this.#entries.get(hostname);
    if (known) known.refreshesLeft = REFRESHES;
    else this.#enter(hostname);
  }

  /** The name's answer, from what is known or looked up now. */
  ask(hostname: string): Promise<NameAnswer> {
    const known = this.#entries.get(hostname);
    const answer = known && this.#answerOf(known);
    if (answer) return Promise.resolve(answer);
    const entry = known ?? this.#enter(hostname);
    if (entry === undefined) return Promise.resolve({ kind: 'failed' });
    return new Promise((resolve) => entry.waiting.push(resolve));
  }

  /** Names that cannot be resolved at present, in words. */
  problems(): readonly string[] {
    const failing = [...this.#entries].filter(([, { problem }]) => problem !== '');
    const lines = failing.slice(0, PROBLEMS_SHOWN).map(([hostname, { problem, resolved }]) => {
      const outcome =
        resolved?.kind === 'found' ? 'its last addresses stay in force' : 'connections to its service are refused';
      return `the name ${hostname} of an endpoint or ExternalName cannot be resolved: ${problem}; ${outcome}`;
    });
    const more = failing.length - lines.length;
    return more > 0 ? [...lines, `${more} more names of endpoints cannot be resolved`] : lines;
  }

  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#entries.values()) cancel();
  }

  #enter(hostname: string): Entry | undefined {
    if (this.#closed) return undefined;
    if (this.#entries.size >= NAMES_MAX) {
      this.counters.refused += 1;
      return undefined;
    }
    const entry: Entry = {
      resolved: undefined,
      untilMs: 0,
      goodMs: 0,
      refreshesLeft: REFRESHES,
      problem: '',
      cancel: () => {},
      waiting: [],
    };
    this.#entries.set(hostname, entry);
    this.#queue.push(hostname);
    this.#pump();
    return entry;
  }

  #pump(): void {
    while (this.#underWay < LOOKUPS_AT_ONCE_MAX) {
      const hostname = this.#queue.shift();
      if (hostname === undefined) return;
      this.#underWay += 1;
      this.counters.lookups += 1;
      void this.#parts.lookUp(hostname).then((answer) => {
        this.#underWay -= 1;
        if (!this.#closed) this.#settle(hostname, answer);
        this.#pump();
      });
    }
  }

  #settle(hostname: string, answer: HostAnswer): void {
    const entry = this.#entries.get(hostname);
    if (entry === undefined) return;
    const { clock } = this.#parts;
    entry.problem = problemOf(answer);
    if (entry.problem === '') this.#failures.reset(hostname);
    else this.#tell(hostname, entry.problem);
    switch (answer.kind) {
      case 'found': {
        const { addresses, ttlSeconds } = answer;
        entry.goodMs = clock.nowMs();
        // In order, so that a resolver that turns its answers around changes nothing.
        entry.resolved = { kind: 'found', addresses: [...addresses].sort() };
        this.#hold(hostname, entry, Math.min(Math.max(ttlSeconds * 1000, TTL_MIN_MS), TTL_MAX_MS));
        break;
      }
      case 'none':
        entry.resolved = { kind: 'none', exists: answer.exists };
        this.#hold(hostname, entry, NONE_MS);
        break;
      case 'failed':
        if (entry.resolved?.kind !== 'found' || clock.nowMs() - entry.goodMs > STALE_MAX_MS)
          entry.resolved = { kind: 'failed' };
        this.#hold(hostname, entry, RETRY_MS);
        break;
    }
    this.#parts.setName(hostname, entry.resolved);
    const told = this.#answerOf(entry) ?? { kind: 'failed' };
    for (const resolve of entry.waiting.splice(0)) resolve(told);
  }

  #hold(hostname: string, entry: Entry, forMs: number): void {
    const { clock } = this.#parts;
    entry.untilMs = clock.nowMs() + forMs;
    entry.cancel = clock.setTimer(forMs, () => {
      entry.refreshesLeft -= 1;
      if (entry.resolved?.kind === 'found' && entry.refreshesLeft > 0) {
        this.#queue.push(hostname);
        this.#pump();
        return;
      }
      this.#entries.delete(hostname);
      this.#parts.setName(hostname, undefined);
    });
  }

  #answerOf({ resolved, untilMs }: Entry): NameAnswer | undefined {
    if (resolved?.kind !== 'found') return resolved;
    const ttlSeconds = Math.max(0, Math.ceil((untilMs - this.#parts.clock.nowMs()) / 1000));
    return { ...resolved, ttlSeconds };
  }

  #tell(hostname: string, reason: string): void {
    this.counters.failures += 1;
    this.#failures.say(hostname, (unsaid) =>
      this.#parts.log.warn('name of an endpoint not resolved', { name: hostname, reason, unsaid }),
    );
  }
}

function problemOf(answer: HostAnswer): string {
  if (answer.kind === 'found') return '';
  if (answer.kind === 'failed') return answer.reason;
  return answer.exists ? 'it has no address' : 'there is no such name';
}
