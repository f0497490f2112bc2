// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';

// What a connection may hold: its client's socket and the one towards its destination.
const FILES_A_CONNECTION = 2;
// Of all files, what is not for connections: tunnels, listeners of pods, DNS, the agent itself.
const RESERVED_PART = 1 / 8;
const RESERVED_MIN = 256;

/** How many files this process may have open (Node raises it to the hard limit when it starts); nothing where the system does not say. */
export function readFileLimit(): number | undefined {
  try {
    return parseFileLimit(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return undefined;
  }
}

/** Of the text of `/proc/<pid>/limits`; `unlimited` is no number. */
export function parseFileLimit(limits: string): number | undefined {
  const files = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return files === undefined ? undefined : Number(files);
}

/** How many connections that many files carry. */
export function connectionsOfFiles(files: number): number {
  const reserved = Math.max(RESERVED_MIN, Math.ceil(files * RESERVED_PART));
  return Math.max(1, Math.floor((files - reserved) / FILES_A_CONNECTION));
}
