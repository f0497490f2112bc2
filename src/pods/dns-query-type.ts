// SPDX-License-Identifier: Apache-2.0

const HEADER_BYTES = 12;
// RFC 1035 §3.2.2, RFC 3596 §2.1; the rest is counted as one, so that a client cannot make labels up.
const NAMES: Readonly<Record<number, string>> = { 1: 'A', 28: 'AAAA' };

/** The type of a query's first question for metrics: `A`, `AAAA`, `other`, or `unknown` when it cannot be read. */
export function dnsQueryType(message: Uint8Array): string {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let offset = HEADER_BYTES;
  // A question's name is not compressed: labels, each with its length in front, and an empty one at the end.
  while (offset < message.length) {
    const length = view.getUint8(offset);
    offset += 1 + length;
    if (length === 0) break;
  }
  if (offset <= HEADER_BYTES || offset + 2 > message.length) return 'unknown';
  return NAMES[view.getUint16(offset)] ?? 'other';
}
