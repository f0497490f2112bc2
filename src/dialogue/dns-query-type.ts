// SPDX-License-Identifier: Apache-2.0

const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
// RFC 1035 §3.2.2, RFC 3596 §2.1; the rest is counted as one, so that a client cannot make labels up.
const TYPES: Readonly<Record<number, string>> = { 1: 'a', 28: 'aaaa' };

/**
 * The type of the first question of a DNS query: `a`, `aaaa` or `other`, as Istio's metrics have it; `undefined` when there is
 * none that can be read. Never throws, whatever the bytes. For counting only.
 */
export function readDnsQueryType(message: Uint8Array): string | undefined {
  let offset = HEADER_BYTES;
  for (;;) {
    const length = message[offset];
    if (length === undefined || offset - HEADER_BYTES > NAME_BYTES_MAX) return undefined;
    offset += 1;
    if (length === 0) break;
    // A question is the first name of a message: there is nothing yet that a pointer (two high bits) could point at.
    if (length > 63) return undefined;
    offset += length;
  }
  const [high, low] = [message[offset], message[offset + 1]];
  // The class follows the type.
  if (high === undefined || low === undefined || offset + 4 > message.length) return undefined;
  return TYPES[high * 256 + low] ?? 'other';
}
