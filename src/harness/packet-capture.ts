// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { type Background, must, start, until } from './shell.ts';
import { type MeshNode, onNode } from './two-nodes.ts';

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

// The last packet of a capture is one of ours, to the discard port: behind it there is nothing that tcpdump has yet to read.
// To everybody on the link, since that waits for no neighbour to answer.
const END_PORT = 9;
const END_TEXT = 'groundwire: the capture ends here';
const SEND_END = `
const [address, text] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
socket.bind(0, address, () => {
  socket.setMulticastInterface(address);
  socket.send(text, ${END_PORT}, '224.0.0.1', () => socket.close());
});`;

/** tcpdump on the link between the nodes: what anyone between them would see. */
export class PacketCapture {
  readonly #node: MeshNode;
  readonly #process: Background;
  readonly #file: string;

  private constructor(node: MeshNode, process: Background, file: string) {
    this.#node = node;
    this.#process = process;
    this.#file = file;
  }

  /** Starts to capture; returns when tcpdump listens. */
  static async open(node: MeshNode, file: string): Promise<PacketCapture> {
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
      `tcp or udp dst port ${END_PORT}`,
    ];
    const process = start(onNode(node, command), `${file}.log`);
    await until(
      'tcpdump listens on the link',
      () => (process.log().includes('listening on') ? true : undefined),
      5000,
      10,
    );
    return new PacketCapture(node, process, file);
  }

  /** Waits until all that was on the link is in the file, stops, and returns the segments with a payload, in order. */
  async close(): Promise<Segment[]> {
    try {
      await until('tcpdump has written what it captured', () => this.#hasEnd());
    } finally {
      // A SIGINT ends tcpdump at once, whatever it has yet to read.
      await this.#process.stop('SIGINT');
    }
    return decodeCapture(readFileSync(this.#file));
  }

  // Sent anew each time: tcpdump may be so far behind that the kernel had no room for the one before.
  async #hasEnd(): Promise<true | undefined> {
    await must(onNode(this.#node, [process.execPath, '-e', SEND_END, '--', this.#node.address, END_TEXT]));
    return readFileSync(this.#file).includes(END_TEXT) ? true : undefined;
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
