// SPDX-License-Identifier: Apache-2.0

import { loadavg, networkInterfaces } from 'node:os';
import { cpu, mem, osInfo } from 'systeminformation';
import type { Clock } from '../model/clock.ts';
import type { NodeFacts } from './facts.ts';

// A status page may be asked for many times a second.
const CACHE_MS = 1000;

type Fixed = Pick<NodeFacts, 'name' | 'addresses' | 'kernel' | 'distribution' | 'cpu' | 'cores'>;

/** Facts of the machine: what cannot change is read once, the rest at most once a second. */
export class NodeFactsReader {
  readonly #fixed: Fixed;
  readonly #clock: Clock;
  #cached: Promise<NodeFacts> | undefined;

  private constructor(fixed: Fixed, clock: Clock) {
    this.#fixed = fixed;
    this.#clock = clock;
  }

  /**
   * Reads what cannot change. To be called before the engine is opened: it starts other programs (lscpu and the like), and
   * copying a process that carries traffic costs that traffic a pause.
   */
  static async open(name: string, addresses: readonly string[], clock: Clock): Promise<NodeFactsReader> {
    const [system, processor] = await Promise.all([osInfo(), cpu()]);
    const fixed: Fixed = {
      name,
      addresses,
      kernel: system.kernel,
      distribution: `${system.distro} ${system.release}`.trim(),
      cpu: `${processor.manufacturer} ${processor.brand}`.trim(),
      cores: processor.cores,
    };
    return new NodeFactsReader(fixed, clock);
  }

  read(): Promise<NodeFacts> {
    if (this.#cached === undefined) {
      this.#cached = this.#gather();
      this.#clock.setTimer(CACHE_MS, () => {
        this.#cached = undefined;
      });
    }
    return this.#cached;
  }

  async #gather(): Promise<NodeFacts> {
    // Both read /proc and start no program.
    const memory = await mem();
    return {
      ...this.#fixed,
      loadAverage1m: loadavg()[0] ?? 0,
      memoryTotalBytes: memory.total,
      memoryAvailableBytes: memory.available,
      agentResidentBytes: process.memoryUsage.rss(),
    };
  }
}

/** Every address of this machine by which others could reach it. */
export function globalAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((one) => !one.internal && !one.address.startsWith('fe80:') && !one.address.startsWith('169.254.'))
    .map((one) => one.address);
}
