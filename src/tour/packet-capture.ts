// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { type Background, start, until } from './shell.ts';
import { onNode, type TourNode } from './two-nodes.ts';

/** One TCP segment that carried something. */
export interface Segment {
  /** Milliseconds since the epoch, by the kernel's clock. */
  readonly atMs: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;
const PROTOCOL_TCP = 6;

/** tcpdump on the link between the nodes: what anyone between them would see. */
export class PacketCapture {
  readonly #process: Background;
  readonly #file: string;

  private constructor(process: Background, file: string) {
    this.#process = process;
    this.#file = file;
  }

  /** Starts to capture; returns when tcpdump listens. */
  static async open(node: TourNode, file: string): Promise<PacketCapture> {
    const command = [
      'tcpdump',
      '-i',
      node.device,
      '--immediate-mode',
      '-U',
      '-Z',
      'root',
      '-s',
      '0',
      '-w',
      file,
      'tcp',
    ];
    const process = start(onNode(node, command), `${file}.log`);
    await until(
      'tcpdump listens on the link',
      () => (process.log().includes('listening on') ? true : undefined),
      5000,
      10,
    );
    return new PacketCapture(process, file);
  }

  /** Stops, and returns the segments with a payload, in order. */
  async close(): Promise<Segment[]> {
    await this.#process.stop('SIGINT');
    return decodeCapture(readFileSync(this.#file));
  }
}

/** Reads a capture file of Ethernet frames (little-endian, microseconds: what tcpdump writes on the supported machines). */
function decodeCapture(file: Buffer): Segment[] {
  const segments: Segment[] = [];
  let at = FILE_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= file.length) {
    const atMs = file.readUInt32LE(at) * 1000 + file.readUInt32LE(at + 4) / 1000;
    const length = file.readUInt32LE(at + 8);
    const frame = file.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
    at += RECORD_HEADER_BYTES + length;
    const segment = decodeFrame(frame, atMs);
    if (segment !== undefined && segment.payload.length > 0) segments.push(segment);
  }
  return segments;
}

function decodeFrame(frame: Buffer, atMs: number): Segment | undefined {
  if (frame.length < ETHERNET_BYTES + 40) return undefined;
  const packet = frame.subarray(ETHERNET_BYTES);
  const version = packet.readUInt8(0) >> 4;
  const headerBytes = version === 4 ? (packet.readUInt8(0) & 15) * 4 : 40;
  const protocol = packet.readUInt8(version === 4 ? 9 : 6);
  // A segment that the sender's kernel left to the device to cut says length 0.
  const stated = version === 4 ? packet.readUInt16BE(2) : packet.readUInt16BE(4) + 40;
  const end = stated <= 40 ? packet.length : Math.min(stated, packet.length);
  if (protocol !== PROTOCOL_TCP) return undefined;
  const tcp = packet.subarray(headerBytes, end);
  return {
    atMs,
    sourcePort: tcp.readUInt16BE(0),
    destinationPort: tcp.readUInt16BE(2),
    payload: tcp.subarray((tcp.readUInt8(12) >> 4) * 4),
  };
}

/** Segments of the mesh's tunnels. */
export function hboneSegments(segments: readonly Segment[]): Segment[] {
  return segments.filter((segment) => segment.sourcePort === 15008 || segment.destinationPort === 15008);
}

/** Whether a segment begins with a TLS record: handshake, change of cipher or data, of TLS 1.x. */
export function beginsTlsRecord(segment: Segment): boolean {
  const [type = 0, major = 0] = segment.payload;
  return type >= 20 && type <= 23 && major === 3;
}

/** Segments that carry a text in the clear. */
export function segmentsWith(segments: readonly Segment[], text: string): Segment[] {
  return segments.filter((segment) => segment.payload.includes(text));
}
