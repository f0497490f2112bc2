// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '../model/clock.ts';

/** How many connections a door holds at once. */
export interface ShareLimits {
  readonly max: number;
  /** Of one address. */
  readonly perAddressMax: number;
  /** Only a connection that has waited as long makes room for another of its own address. */
  readonly graceMs: number;
}

export interface ShareCounters {
  /** Connections ended so that another had room. */
  displaced: number;
  /** Connections ended as they came: no other had to make room for them. */
  turnedAway: number;
}

/** The place of one connection. */
export interface Seat {
  /** Something is done for the connection. */
  serve(): void;
  /** The connection is waited for; as it is from the start. */
  rest(): void;
  leave(): void;
}

/**
 * Gives the connections of a door their places, so that no address keeps another from its own.
 *
 * Who comes is let in: where its address has all it may have, the connection of that address which has been waited for
 * the longest goes; where the door is full, one of the address that has the most, whatever it does. Only who would have
 * to take the place of a connection that is served, or has just come, from its own address is turned away.
 */
export class ConnectionShares {
  readonly #limits: ShareLimits;
  readonly #counters: ShareCounters;
  readonly #clock: Clock;
  readonly #tables = new Map<string, Table>();
  #size = 0;

  constructor(limits: ShareLimits, counters: ShareCounters, clock: Clock) {
    this.#limits = limits;
    this.#counters = counters;
    this.#clock = clock;
  }

  get size(): number {
    return this.#size;
  }

  /** `undefined` turns the connection away; `end` ends it when it has to make room, and its seat is free by then. */
  admit(address: string, end: () => void): Seat | undefined {
    if (!this.#makeRoom(address)) {
      this.#counters.turnedAway += 1;
      return undefined;
    }
    const table = this.#tables.get(address) ?? { waiting: new Map(), served: new Set() };
    this.#tables.set(address, table);
    this.#size += 1;
    table.waiting.set(end, this.#clock.nowMs());
    return {
      serve: () => {
        if (table.waiting.delete(end)) table.served.add(end);
      },
      rest: () => {
        // The last in the order of the map is who has waited the shortest.
        if (table.served.delete(end)) table.waiting.set(end, this.#clock.nowMs());
      },
      leave: () => this.#clear(address, table, end),
    };
  }

  #makeRoom(address: string): boolean {
    const { max, perAddressMax, graceMs } = this.#limits;
    const own = this.#tables.get(address);
    const ownSize = sizeOf(own);
    if (ownSize < perAddressMax && this.#size < max) return true;
    const richest = ownSize < perAddressMax ? this.#richest() : undefined;
    if (richest !== undefined && sizeOf(richest.table) > ownSize) {
      const { waiting, served } = richest.table;
      const [victim] = waiting.size > 0 ? waiting.keys() : served;
      return this.#displace(richest.address, richest.table, victim);
    }
    const [longest] = own?.waiting ?? [];
    if (own === undefined || longest === undefined) return false;
    const [victim, sinceMs] = longest;
    return this.#clock.nowMs() - sinceMs >= graceMs && this.#displace(address, own, victim);
  }

  #displace(address: string, table: Table, victim: (() => void) | undefined): boolean {
    if (victim === undefined) return false;
    this.#counters.displaced += 1;
    this.#clear(address, table, victim);
    victim();
    return true;
  }

  #clear(address: string, table: Table, end: () => void): void {
    if (!table.waiting.delete(end) && !table.served.delete(end)) return;
    this.#size -= 1;
    if (sizeOf(table) === 0) this.#tables.delete(address);
  }

  #richest(): { readonly address: string; readonly table: Table } | undefined {
    let found: { address: string; table: Table } | undefined;
    for (const [address, table] of this.#tables) if (sizeOf(table) > sizeOf(found?.table)) found = { address, table };
    return found;
  }
}

/** The connections of one address, by what ends them. */
interface Table {
  /** Since when each is waited for, the longest first. */
  readonly waiting: Map<() => void, number>;
  readonly served: Set<() => void>;
}

function sizeOf(table: Table | undefined): number {
  return table === undefined ? 0 : table.waiting.size + table.served.size;
}
