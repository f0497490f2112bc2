// SPDX-License-Identifier: Apache-2.0

const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
// RFC 1035 §3.2.2, RFC 3596 §2.1; the rest is counted as one, so that a client cannot make labels up.
const TYPES: Readonly<Record<number, string>> = { 1: 'a', 28: 'aaaa' };
const NAME_ERROR = 3;

/** The first question of a DNS query. */
export interface DnsQuestion {
  /** Lower case, without the last dot. */
  readonly name: string;
  /** `a`, `aaaa` or `other`: as Istio's metrics have it. */
  readonly type: string;
  /** Where the question ends in the message. */
  readonly end: number;
}

/** Reads the first question; `undefined` when there is none that can be read. Never throws, whatever the bytes. */
export function readDnsQuestion(message: Uint8Array): DnsQuestion | undefined {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const labels: string[] = [];
  let offset = HEADER_BYTES;
  for (;;) {
    const length = bytes[offset];
    if (length === undefined || offset - HEADER_BYTES > NAME_BYTES_MAX) return undefined;
    offset += 1;
    if (length === 0) break;
    // A question is the first name of a message: there is nothing yet that a pointer (two high bits) could point at.
    if (length > 63 || offset + length > bytes.length) return undefined;
    labels.push(bytes.toString('latin1', offset, offset + length).toLowerCase());
    offset += length;
  }
  if (offset + 4 > bytes.length) return undefined;
  return { name: labels.join('.'), type: TYPES[bytes.readUInt16BE(offset)] ?? 'other', end: offset + 4 };
}

/** The answer that the name of that question does not exist (RFC 1035 §4.1.1, RCODE 3). */
export function denyDnsName(query: Uint8Array, question: DnsQuestion): Uint8Array {
  const answer = Buffer.from(query.subarray(0, question.end));
  // Response, authoritative, and the client's own opcode and "recursion desired"; recursion is available.
  answer.writeUInt8(0x84 | (answer.readUInt8(2) & 0x79), 2);
  answer.writeUInt8(0x80 | NAME_ERROR, 3);
  answer.writeUInt16BE(1, 4);
  answer.fill(0, 6, HEADER_BYTES);
  return answer;
}
