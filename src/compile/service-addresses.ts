// SPDX-License-Identifier: Apache-2.0

import { addressBytes, formatAddress, parseAddressRange } from '../model/address.ts';
import { fnv1a } from '../model/hash.ts';

/**
 * Gives addresses of one range to names that have none, the same name the same address as far as possible.
 *
 * The address is a hash of the name, so that it stays over restarts and does not depend on what else is there, unless
 * two names meet: then the later one in the order of calls goes one further. Addresses marked as taken are left out.
 * Returns `undefined` when the range is full.
 */
export class AddressAllocator {
  readonly #taken: ReadonlySet<string>;
  readonly #given = new Set<string>();
  readonly #base: Uint8Array;
  readonly #size: number;

  /** `range` is IPv4. */
  constructor(range: string, taken: ReadonlySet<string>) {
    const parsed = parseAddressRange(range);
    if (parsed === undefined || parsed.address.includes(':')) throw new Error(`not an IPv4 range: ${range}`);
    this.#taken = taken;
    this.#base = addressBytes(parsed.address);
    this.#size = 2 ** (32 - parsed.prefixLength);
  }

  allocate(name: string): string | undefined {
    // The first address names the network and the last is its broadcast; neither is given away.
    const usable = this.#size - 2;
    if (this.#given.size >= usable) return undefined;
    const first = fnv1a(name) % usable;
    for (let step = 0; step < usable; step += 1) {
      const address = this.#addressAt(1 + ((first + step) % usable));
      if (this.#taken.has(address) || this.#given.has(address)) continue;
      this.#given.add(address);
      return address;
    }
    return undefined;
  }

  #addressAt(offset: number): string {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint32(0, new DataView(this.#base.buffer).getUint32(0) + offset);
    return formatAddress(new Uint8Array(view.buffer));
  }
}
