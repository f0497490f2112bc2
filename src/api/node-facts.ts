// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { cpus, freemem, loadavg, networkInterfaces, release, totalmem } from 'node:os';
import { parseEnv } from 'node:util';
import { isMissing } from '../model/file-error.ts';
import type { NodeFacts } from './facts.ts';

type Fixed = Pick<NodeFacts, 'name' | 'addresses' | 'kernel' | 'distribution' | 'cpu' | 'cores'>;

/** Facts of the machine, read from the kernel without starting a program: what cannot change once, the rest each time. */
export class NodeFactsReader {
  readonly #fixed: Fixed;

  constructor(name: string, addresses: readonly string[]) {
    const processors = cpus();
    this.#fixed = {
      name,
      addresses,
      kernel: release(),
      distribution: readDistribution(),
      cpu: processors[0]?.model.trim() ?? '',
      cores: processors.length,
    };
  }

  read(): NodeFacts {
    return {
      ...this.#fixed,
      loadAverage1m: loadavg()[0] ?? 0,
      memoryTotalBytes: totalmem(),
      // What the kernel calls available, and Node free.
      memoryAvailableBytes: freemem(),
      agentResidentBytes: process.memoryUsage.rss(),
    };
  }
}

/** `Debian GNU/Linux 12`; empty where no file says it. Source: os-release(5). */
export function readDistribution(path = '/etc/os-release'): string {
  try {
    const { NAME = '', VERSION_ID = '' } = parseEnv(readFileSync(path, 'utf8'));
    return `${NAME} ${VERSION_ID}`.trim();
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}

/** Every address of this machine by which others could reach it. */
export function globalAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((one) => !one.internal && !one.address.startsWith('fe80:') && !one.address.startsWith('169.254.'))
    .map((one) => one.address);
}
