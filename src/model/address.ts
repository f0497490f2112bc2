// SPDX-License-Identifier: Apache-2.0

import { isIPv4, isIPv6 } from 'node:net';
import type { AddressRange } from './policy.ts';
import type { NetworkAddress } from './service.ts';

/** An address and a port, host order; `address` is canonical text. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * Parses an IP address into its canonical text.
 *
 * Canonical is dotted decimal for IPv4 and RFC 5952 for IPv6; an IPv4-mapped IPv6 address becomes the IPv4 address it
 * stands for, so that one host has one text. Returns `undefined` for everything else, zone ids included.
 */
export function parseAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return formatAddress(ipv6Bytes(text));
}

/** Of a canonical address. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/**
 * Parses `address` or `address/length` into a range of addresses with the host bits cleared.
 *
 * A bare address is a range of one. Returns `undefined` when either part is malformed.
 */
export function parseAddressRange(text: string): AddressRange | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bytes = addressBytes(address);
  const bits = bytes.length * 8;
  if (slash < 0) return { address, prefixLength: bits };
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  // The length of a mapped range counts the 96 bits of ::ffff:0:0/96 that its canonical form no longer has.
  const mapped = bits === 32 && text.includes(':');
  const prefixLength = Number(lengthText) - (mapped ? 96 : 0);
  if (prefixLength < 0 || prefixLength > bits) return undefined;
  for (let bit = prefixLength; bit < bits; bit += 1) {
    bytes[bit >> 3] = bytes[bit >> 3]! & ~(0x80 >> (bit & 7));
  }
  return { address: formatAddress(bytes), prefixLength };
}

/** The 4 or 16 bytes of a canonical address, network order. */
export function addressBytes(address: string): Uint8Array {
  if (address.includes(':')) return ipv6Bytes(address);
  return Uint8Array.from(address.split('.'), Number);
}

/** The canonical text of 4 or 16 bytes in network order; the inverse of `addressBytes`. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(12).join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  const { start, length } = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  // RFC 5952 §4.2.2: one zero group alone is not shortened.
  if (length < 2) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

/** Whether it stands for more than one address: a prefix as long as the address is that address. */
export function isRange(address: NetworkAddress): address is NetworkAddress & { readonly prefixLength: number } {
  const bits = address.address.includes(':') ? 128 : 32;
  return address.prefixLength !== undefined && address.prefixLength < bits;
}

/** Whether the first `prefixLength` bits are alike; addresses of different families never are. As `addressBytes` gives them. */
export function sharePrefix(a: Uint8Array, b: Uint8Array, prefixLength: number): boolean {
  if (a.length !== b.length) return false;
  const whole = prefixLength >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = prefixLength & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((a[whole] ?? 0) & mask) === ((b[whole] ?? 0) & mask);
}

/** `address:port`, with brackets around IPv6: the form of an HTTP authority. */
export function formatSocketAddress(socket: SocketAddress): string {
  return socket.address.includes(':') ? `[${socket.address}]:${socket.port}` : `${socket.address}:${socket.port}`;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i += 1) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}

function ipv6Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const [head = '', tail] = text.split('::');
  const front = ipv6Groups(head);
  const back = tail === undefined ? [] : ipv6Groups(tail);
  const groups = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  groups.forEach((group, index) => {
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 0xff;
  });
  return bytes;
}

function ipv6Groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
