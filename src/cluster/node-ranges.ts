// SPDX-License-Identifier: Apache-2.0

import { addressBytes, formatAddress, parseAddressRange } from '../model/address.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { RestoreError } from './restore-error.ts';
import { StateFile } from './state-file.ts';

// What kube-controller-manager gives a node.
const NODE_PREFIX_V4 = 24;
const NODE_PREFIX_V6 = 64;

/** A node by the number of its parts. */
interface NumberedNode {
  readonly node: string;
  readonly number: number;
  /** The registry's word, kept here since it remembers only nodes that have pods. */
  readonly lostSinceMs?: number;
}

interface Numbering {
  readonly next: number;
  readonly nodes: readonly NumberedNode[];
}

/**
 * Gives each node its part of the cluster's ranges, and the same one again after a restart.
 *
 * Nodes are numbered in turn; the numbers are kept in a file. The number of a node that is forgotten comes last: one that
 * lives all the same, cut off, uses its addresses.
 */
export class NodeRanges {
  readonly #cidrs: readonly string[];
  readonly #file: StateFile<Numbering>;
  readonly #log: Log;
  readonly #nodes: Map<string, NumberedNode>;
  #next: number;

  private constructor(cidrs: readonly string[], file: StateFile<Numbering>, log: Log) {
    const { next, nodes } = read(file);
    this.#cidrs = cidrs;
    this.#file = file;
    this.#log = log;
    this.#nodes = new Map(nodes.map((one) => [one.node, one]));
    this.#next = next;
  }

  static open(cidrs: readonly string[], path: string, log: Log): NodeRanges {
    return new NodeRanges(cidrs, new StateFile(path, 'groundwire-nodes 1'), log);
  }

  /** Every node that has a part, and since when it is lost, if it is. */
  nodes(): ReadonlyMap<string, number | undefined> {
    return new Map([...this.#nodes.values()].map(({ node, lostSinceMs }) => [node, lostSinceMs]));
  }

  /**
   * For a node that is there. Throws when the cluster's ranges have no part left, or the number cannot be written; the
   * node has none then.
   */
  rangesOf(node: string): readonly string[] {
    const known = this.#nodes.get(node);
    const number = known?.number ?? this.#findFree();
    const ranges = this.#cidrs.map((cidr) => partOf(cidr, number));
    if (known === undefined) this.#give({ node, number });
    else if (known.lostSinceMs !== undefined) this.#note({ node, number });
    return ranges;
  }

  /** The node is away for longer than its grace. */
  lose(node: string, lostSinceMs: number): void {
    const known = this.#nodes.get(node);
    if (known !== undefined) this.#note({ ...known, lostSinceMs });
  }

  /** The node has no pods any more, and is not waited for. */
  forget(node: string): void {
    if (this.#nodes.delete(node)) this.#keep(node);
  }

  #findFree(): number {
    const used = new Set([...this.#nodes.values()].map(({ number }) => number));
    const parts = Math.min(...this.#cidrs.map(partsIn));
    for (let step = 0; step <= used.size && step < parts; step += 1) {
      const number = (this.#next + step) % parts;
      if (!used.has(number)) return number;
    }
    const cidr = this.#cidrs.find((one) => partsIn(one) === parts) ?? '';
    throw new Error(
      `--cluster-cidr ${cidr} has no part left, ${used.size} nodes have them all; one that is taken out gives its own back after --node-forget`,
    );
  }

  #give(numbered: NumberedNode): void {
    const next = numbered.number + 1;
    this.#file.write({ next, nodes: [...this.#nodes.values(), numbered] });
    this.#nodes.set(numbered.node, numbered);
    this.#next = next;
  }

  #note(numbered: NumberedNode): void {
    this.#nodes.set(numbered.node, numbered);
    this.#keep(numbered.node);
  }

  // What is not written is so with the next number that is given; a restart before that waits for the node once more.
  #keep(node: string): void {
    try {
      this.#file.write({ next: this.#next, nodes: [...this.#nodes.values()] });
    } catch (error) {
      this.#log.warn('state of a node not written; free space on the disk', {
        node,
        path: this.#file.path,
        error: errorText(error),
      });
    }
  }
}

function read(file: StateFile<Numbering>): Numbering {
  try {
    return file.read() ?? { next: 0, nodes: [] };
  } catch (cause) {
    throw new RestoreError(
      `the ranges of the nodes cannot be restored: ${errorText(cause)}. Restore ${file.path} from a backup; or remove it when no node has pods`,
      { cause },
    );
  }
}

/** The address of a range, and how much longer the prefix of its parts is. */
function divide(cidr: string): { readonly base: Uint8Array; readonly prefix: number; readonly partBits: number } {
  const range = parseAddressRange(cidr);
  if (range === undefined) throw new Error(`${cidr} is not a range of addresses`);
  const base = addressBytes(range.address);
  const prefix = Math.max(range.prefixLength, base.length === 4 ? NODE_PREFIX_V4 : NODE_PREFIX_V6);
  return { base, prefix, partBits: prefix - range.prefixLength };
}

function partsIn(cidr: string): number {
  return 2 ** divide(cidr).partBits;
}

function partOf(cidr: string, number: number): string {
  const { base, prefix } = divide(cidr);
  if (number >= partsIn(cidr)) throw new Error(`--cluster-cidr ${cidr} has no part for node number ${number + 1}`);
  let carry = BigInt(number) << BigInt(base.length * 8 - prefix);
  for (let i = base.length - 1; i >= 0; i--) {
    base[i] = (base[i] as number) | Number(carry & 0xffn);
    carry >>= 8n;
  }
  return `${formatAddress(base)}/${prefix}`;
}
