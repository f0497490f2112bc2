// SPDX-License-Identifier: Apache-2.0
import { formatAddress, type SocketAddress } from '../model/address.ts';
import { KernelError } from './kernel-error.ts';

/**
 * Unpacks what the engine packed, checking every length, count and range.
 *
 * Throws `KernelError` ERR_ENGINE_MESSAGE with the field and the offset: such bytes mean that addon and agent were not
 * built from the same sources. Text that is not UTF-8 (an authority that a peer sent) is decoded with U+FFFD, not refused.
 */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  bool(where: string): boolean {
    const value = this.u8(where);
    if (value > 1) this.fail(where, `${value} is not a boolean`);
    return value === 1;
  }

  u8(where: string): number {
    return this.#bytes.readUInt8(this.#take(1, where));
  }

  u16(where: string): number {
    return this.#bytes.readUInt16LE(this.#take(2, where));
  }

  u32(where: string): number {
    return this.#bytes.readUInt32LE(this.#take(4, where));
  }

  i32(where: string): number {
    return this.#bytes.readInt32LE(this.#take(4, where));
  }

  u64(where: string): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8, where));
  }

  string(where: string): string {
    const length = this.u32(where);
    const offset = this.#take(length, where);
    return this.#bytes.toString('utf8', offset, offset + length);
  }

  /** A copy, so that one small message does not keep its whole batch in memory. */
  bytes(where: string): Uint8Array {
    const length = this.u32(where);
    const offset = this.#take(length, where);
    return Uint8Array.from(this.#bytes.subarray(offset, offset + length));
  }

  ip(where: string): string {
    const offset = this.#take(16, where);
    return formatAddress(this.#bytes.subarray(offset, offset + 16));
  }

  endpoint(where: string): SocketAddress {
    return { address: this.ip(where), port: this.u16(where) };
  }

  choice<T extends string>(values: readonly T[], where: string): T {
    const index = this.u8(where);
    return values[index] ?? this.fail(where, `${index} is not one of ${values.length} values`);
  }

  optional<T>(where: string, readValue: () => T): T | undefined {
    return this.bool(where) ? readValue() : undefined;
  }

  /** `itemBytesMin` bounds the count by what is left, before anything is allocated for it. */
  list<T>(itemBytesMin: number, where: string, readItem: () => T): T[] {
    const count = this.u32(where);
    const left = this.#bytes.length - this.#offset;
    if (count * itemBytesMin > left) this.fail(where, `${count} items do not fit in ${left} bytes`);
    const items: T[] = [];
    for (let index = 0; index < count; index += 1) items.push(readItem());
    return items;
  }

  /** Throws unless every byte has been used. */
  finish(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) this.fail('end', `${left} bytes are left over`);
  }

  fail(where: string, reason: string): never {
    const place = `${this.#what}, ${where} at byte ${this.#offset}`;
    throw new KernelError('ERR_ENGINE_MESSAGE', `${place}: ${reason}`, { op: 'decode', detail: reason });
  }

  #take(count: number, where: string): number {
    const offset = this.#offset;
    const left = this.#bytes.length - offset;
    if (count > left) this.fail(where, `${count} bytes wanted, ${left} left`);
    this.#offset = offset + count;
    return offset;
  }
}
