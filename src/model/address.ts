// SPDX-License-Identifier: Apache-2.0

import { isIPv4, isIPv6 } from 'node:net';
import type { SocketAddress } from './route.ts';

/**
 * The bytes of an IP address in text: 4 for IPv4 and for IPv4-mapped IPv6, 16 for every other IPv6 address.
 *
 * Returns `undefined` for text that is not an address, or that names a zone (`fe80::1%eth0`): a zone is a matter of
 * one machine and says nothing in a mesh.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return parseIpv4(text);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const [head, tail] = text.split('::') as [string, string | undefined];
  const front = parseGroups(head);
  const back = tail === undefined ? [] : parseGroups(tail);
  const groups = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  const bytes = Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
  return isMapped(bytes) ? bytes.slice(12) : bytes;
}

/** Canonical text of an address of 4 or 16 bytes (RFC 5952 for IPv6; IPv4-mapped addresses as IPv4). */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.slice(12).join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

/** The one spelling of an address that the mesh compares by; `undefined` when it is not an address. */
export function canonicalAddress(text: string): string | undefined {
  const bytes = parseAddress(text);
  return bytes && formatAddress(bytes);
}

/** Whether `address` lies in the range; addresses of the other family never do. Both as `parseAddress` gives them. */
export function rangeContains(network: Uint8Array, prefixLength: number, address: Uint8Array): boolean {
  if (network.length !== address.length) return false;
  const whole = prefixLength >> 3;
  for (let i = 0; i < whole; i++) if (network[i] !== address[i]) return false;
  const rest = prefixLength & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((network[whole] ?? 0) & mask) === ((address[whole] ?? 0) & mask);
}

/** `address:port`, with brackets around IPv6. */
export function formatSocketAddress(socket: SocketAddress): string {
  return socket.address.includes(':') ? `[${socket.address}]:${socket.port}` : `${socket.address}:${socket.port}`;
}

function parseIpv4(text: string): Uint8Array {
  return Uint8Array.from(text.split('.'), Number);
}

function parseGroups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a, b, c, d] = parseIpv4(group) as unknown as [number, number, number, number];
    return [(a << 8) | b, (c << 8) | d];
  });
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
