// SPDX-License-Identifier: Apache-2.0
import { addressBytes, parseAddress, type SocketAddress } from '../model/address.ts';
import { KernelError } from './kernel-error.ts';

const FIRST_CAPACITY = 1024;
const U64_MAX = (1n << 64n) - 1n;

/**
 * Packs values as the boundary's wire wants them: little-endian, no padding.
 *
 * `where` names the field; a value that does not fit its type throws `KernelError` ERR_ENGINE_MESSAGE that says so,
 * before anything has crossed.
 */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(FIRST_CAPACITY);
  #length = 0;

  bool(value: boolean, where: string): void {
    this.u8(value ? 1 : 0, where);
  }

  u8(value: number, where: string): void {
    this.#integer(value, 0, 0xff, where);
    const offset = this.#grow(1);
    this.#bytes.writeUInt8(value, offset);
  }

  u16(value: number, where: string): void {
    this.#integer(value, 0, 0xffff, where);
    const offset = this.#grow(2);
    this.#bytes.writeUInt16LE(value, offset);
  }

  u32(value: number, where: string): void {
    this.#integer(value, 0, 0xffff_ffff, where);
    const offset = this.#grow(4);
    this.#bytes.writeUInt32LE(value, offset);
  }

  u64(value: bigint, where: string): void {
    if (value < 0n || value > U64_MAX) this.#fail(where, `${value} does not fit 64 bits without a sign`);
    const offset = this.#grow(8);
    this.#bytes.writeBigUInt64LE(value, offset);
  }

  string(value: string, where: string): void {
    if (typeof value !== 'string') this.#fail(where, `${String(value)} is not a text`);
    this.bytes(Buffer.from(value, 'utf8'), where);
  }

  bytes(value: Uint8Array, where: string): void {
    this.u32(value.length, where);
    const offset = this.#grow(value.length);
    this.#bytes.set(value, offset);
  }

  ip(value: string, where: string): void {
    const text = parseAddress(value);
    if (text === undefined) this.#fail(where, `"${value}" is not an IP address`);
    const address = addressBytes(text);
    const end = this.#grow(16) + 16;
    // IPv4 is carried mapped, ::ffff:a.b.c.d, so that one form serves both families.
    this.#bytes.fill(0, end - 16, end - 6).fill(0xff, end - 6, end - 4);
    this.#bytes.set(address, end - address.length);
  }

  endpoint(value: SocketAddress, where: string): void {
    this.ip(value.address, where);
    this.u16(value.port, where);
  }

  choice<T extends string>(values: readonly T[], value: T, where: string): void {
    const index = values.indexOf(value);
    if (index < 0) this.#fail(where, `"${value}" is not one of ${values.join(', ')}`);
    this.u8(index, where);
  }

  optional<T>(value: T | undefined, where: string, writeValue: (value: T) => void): void {
    this.bool(value !== undefined, where);
    if (value !== undefined) writeValue(value);
  }

  list<T>(items: readonly T[], where: string, writeItem: (item: T) => void): void {
    this.u32(items.length, where);
    for (const item of items) writeItem(item);
  }

  /** The bytes written so far; the writer is not used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #integer(value: number, min: number, max: number, where: string): void {
    if (!Number.isInteger(value) || value < min || value > max) {
      this.#fail(where, `${value} is not an integer from ${min} to ${max}`);
    }
  }

  #grow(count: number): number {
    const offset = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, offset));
      this.#bytes = larger;
    }
    return offset;
  }

  #fail(where: string, reason: string): never {
    throw new KernelError('ERR_ENGINE_MESSAGE', `${where}: ${reason}`, { op: 'encode', detail: reason });
  }
}
