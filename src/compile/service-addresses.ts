// SPDX-License-Identifier: Apache-2.0

import { addressBytes, formatAddress, parseAddressRange } from '../model/address.ts';
import { fnv1a } from '../model/hash.ts';

// A hash has no more bits, and nobody has more Services.
const USABLE_MAX = 2 ** 32 - 2;

/**
 * Gives addresses of one range to names that have none, the same name the same address as far as possible.
 *
 * The address is a hash of the name, so that it stays over restarts and does not depend on what else is there, unless
 * two names meet: then the later one in the order of calls goes one further. Addresses marked as taken are left out.
 * Returns `undefined` when the range is full.
 */
export class AddressAllocator {
  readonly family: 'IPv4' | 'IPv6';
  readonly #taken: ReadonlySet<string>;
  readonly #given = new Set<string>();
  readonly #base: Uint8Array;
  readonly #usable: number;

  constructor(range: string, taken: ReadonlySet<string>) {
    const parsed = parseAddressRange(range);
    if (parsed === undefined) throw new Error(`not a range of addresses: ${range}`);
    this.family = parsed.address.includes(':') ? 'IPv6' : 'IPv4';
    this.#taken = taken;
    this.#base = addressBytes(parsed.address);
    // The first address names the network and the last of IPv4 is its broadcast; neither is given away.
    const kept = this.family === 'IPv4' ? 2 : 1;
    this.#usable = Math.min(2 ** (this.#base.length * 8 - parsed.prefixLength) - kept, USABLE_MAX);
  }

  allocate(name: string): string | undefined {
    if (this.#given.size >= this.#usable) return undefined;
    const first = fnv1a(name) % this.#usable;
    for (let step = 0; step < this.#usable; step += 1) {
      const address = this.#addressAt(1 + ((first + step) % this.#usable));
      if (this.#taken.has(address) || this.#given.has(address)) continue;
      this.#given.add(address);
      return address;
    }
    return undefined;
  }

  #addressAt(offset: number): string {
    const bytes = Uint8Array.from(this.#base);
    const view = new DataView(bytes.buffer);
    const last = bytes.length - 4;
    view.setUint32(last, view.getUint32(last) + offset);
    return formatAddress(bytes);
  }
}
