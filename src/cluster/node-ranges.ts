// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';

import { writeFileAtomically } from '../host/atomic-file.ts';
import { addressBytes, formatAddress, parseAddressRange } from '../model/address.ts';
import { isMissing } from '../model/file-error.ts';
import { RestoreError } from './kept-state.ts';

// What kube-controller-manager gives a node.
const NODE_PREFIX_V4 = 24;
const NODE_PREFIX_V6 = 64;

/**
 * Gives each node its part of the cluster's ranges, and the same one again after a restart.
 *
 * Nodes are numbered as they come; the numbers are kept in a file.
 */
export class NodeRanges {
  readonly #cidrs: readonly string[];
  readonly #path: string;
  readonly #numbers: Map<string, number>;

  private constructor(cidrs: readonly string[], path: string, numbers: Map<string, number>) {
    this.#cidrs = cidrs;
    this.#path = path;
    this.#numbers = numbers;
  }

  static open(cidrs: readonly string[], path: string): NodeRanges {
    return new NodeRanges(cidrs, path, new Map(Object.entries(readNumbers(path))));
  }

  /** Throws when the cluster's ranges have no part left, or the number cannot be written; the node has none then. */
  rangesOf(node: string): readonly string[] {
    const known = this.#numbers.get(node);
    const number = known ?? Math.max(-1, ...this.#numbers.values()) + 1;
    const ranges = this.#cidrs.map((cidr) => partOf(cidr, number));
    if (known === undefined) {
      const numbers = { ...Object.fromEntries(this.#numbers), [node]: number };
      writeFileAtomically(this.#path, JSON.stringify(numbers), 0o600);
      this.#numbers.set(node, number);
    }
    return ranges;
  }
}

function readNumbers(path: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, number>;
  } catch (error) {
    if (isMissing(error)) return {};
    throw new RestoreError(`${path} is damaged: restore it, or remove it when no node has pods`, { cause: error });
  }
}

function partOf(cidr: string, number: number): string {
  const range = parseAddressRange(cidr);
  if (range === undefined) throw new Error(`${cidr} is not a range of addresses`);
  const bytes = addressBytes(range.address);
  const bits = bytes.length * 8;
  const prefix = Math.max(range.prefixLength, bits === 32 ? NODE_PREFIX_V4 : NODE_PREFIX_V6);
  if (number >= 2 ** (prefix - range.prefixLength))
    throw new Error(`${cidr} has no part left for node number ${number + 1}`);
  let carry = BigInt(number) << BigInt(bits - prefix);
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = (bytes[i] as number) | Number(carry & 0xffn);
    carry >>= 8n;
  }
  return `${formatAddress(bytes)}/${prefix}`;
}
