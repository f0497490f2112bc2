// SPDX-License-Identifier: Apache-2.0

import { addressBytes, formatAddress, parseAddressRange } from '../model/address.ts';

interface Range {
  readonly cidr: string;
  readonly base: bigint;
  readonly bits: 32 | 128;
  /** Addresses that may be given, without the first and, in IPv4, the last of the range. */
  readonly size: bigint;
  readonly used: Set<bigint>;
  next: bigint;
}

/**
 * Gives each pod one address of every range.
 *
 * Addresses are handed out in turn and an address that was given back comes last: one that is reused at once would be
 * taken for the pod that had it before by everybody who has not heard yet.
 */
export class AddressPool {
  readonly #ranges: readonly Range[];

  constructor(cidrs: readonly string[]) {
    this.#ranges = cidrs.map(openRange);
  }

  get cidrs(): readonly string[] {
    return this.#ranges.map((range) => range.cidr);
  }

  /** One address a range. Throws when a range is used up; then none is taken. */
  allocate(): readonly string[] {
    const picked = this.#ranges.map((range) => [range, findFree(range)] as const);
    return picked.map(([range, offset]) => {
      range.used.add(offset);
      range.next = (offset + 1n) % range.size;
      return addressAt(range, offset);
    });
  }

  /** Marks addresses as in use by a pod of a previous run; those outside the ranges are left alone. */
  reserve(addresses: readonly string[]): void {
    for (const address of addresses) this.#find(address, (range, offset) => range.used.add(offset));
  }

  release(addresses: readonly string[]): void {
    for (const address of addresses) this.#find(address, (range, offset) => range.used.delete(offset));
  }

  #find(address: string, act: (range: Range, offset: bigint) => void): void {
    const bytes = addressBytes(address);
    for (const range of this.#ranges) {
      const offset = toNumber(bytes) - range.base - 1n;
      if (bytes.length * 8 === range.bits && offset >= 0n && offset < range.size) act(range, offset);
    }
  }
}

function openRange(cidr: string): Range {
  const parsed = parseAddressRange(cidr);
  if (parsed === undefined) throw new Error(`pod range ${cidr} is not ADDRESS/LENGTH`);
  const bytes = addressBytes(parsed.address);
  const bits = bytes.length === 4 ? 32 : 128;
  const size = (1n << BigInt(bits - parsed.prefixLength)) - (bits === 32 ? 2n : 1n);
  if (size < 1n) throw new Error(`pod range ${cidr} has no address to give`);
  return { cidr, base: toNumber(bytes), bits, size, used: new Set(), next: 0n };
}

function findFree(range: Range): bigint {
  if (BigInt(range.used.size) >= range.size)
    throw new Error(`pod range ${range.cidr} is used up (${range.used.size} pods)`);
  let offset = range.next;
  while (range.used.has(offset)) offset = (offset + 1n) % range.size;
  return offset;
}

function addressAt(range: Range, offset: bigint): string {
  const value = range.base + 1n + offset;
  const bytes = new Uint8Array(range.bits / 8);
  for (let i = 0; i < bytes.length; i++) bytes[bytes.length - 1 - i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return formatAddress(bytes);
}

function toNumber(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
