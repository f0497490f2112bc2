// SPDX-License-Identifier: Apache-2.0

import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

/** A program that the mesh is made of. */
export interface Part {
  readonly kind: 'control plane' | 'agent' | 'pod';
  /** What people call it: `shop/web`, `tour-a`; "" where there is one only. */
  readonly name: string;
  /** The command line that starts it. */
  readonly command: readonly string[];
  readonly child: Pick<ChildProcess, 'exitCode' | 'signalCode'>;
}

/** What became of a part that runs no more, and what to do about it; `undefined` while it runs. */
export function describeEnd({ kind, name, command, child }: Part): string | undefined {
  const end = endOf(child);
  if (end === undefined) return undefined;
  const again = `Start it again: ${command.map(quote).join(' ')}`;
  switch (kind) {
    case 'control plane':
      return `the control plane is gone: ${end}. Traffic goes on by what the agents know; nothing new is decided. ${again}`;
    case 'agent':
      return `the agent of ${name} is gone: ${end}. The pods of the mesh on that node have no network until it is back. ${again}`;
    case 'pod':
      // What runs in the pod ends with a status that `groundwire run` passes on; a signal hit that one itself.
      return `pod ${name} ended: ${child.signalCode === null ? '' : '`groundwire run`, which held it, was '}${end}. ${again}`;
  }
}

function endOf({ exitCode, signalCode }: Part['child']): string | undefined {
  if (signalCode !== null) return `killed by ${signalCode}`;
  if (exitCode === null) return undefined;
  // As a shell counts.
  const signal = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128);
  return signal === undefined ? `ended with status ${exitCode}` : `killed by ${signal[0]}`;
}

function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
