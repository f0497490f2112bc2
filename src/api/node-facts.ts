// SPDX-License-Identifier: Apache-2.0

import { networkInterfaces } from 'node:os';
import type { NodeFacts } from './facts.ts';

// A status page is asked for every second; what it reads costs tens of milliseconds and hardly changes.
const CACHE_MS = 5000;

/** Facts of the machine, read at most every few seconds. */
export class NodeFactsReader {
  readonly #name: string;
  readonly #addresses: readonly string[];
  #cached: { readonly facts: Promise<NodeFacts>; readonly readMs: number } | undefined;

  constructor(name: string, addresses: readonly string[]) {
    this.#name = name;
    this.#addresses = addresses;
  }

  read(): Promise<NodeFacts> {
    const nowMs = performance.now();
    if (this.#cached === undefined || nowMs - this.#cached.readMs > CACHE_MS) {
      this.#cached = { facts: this.#gather(), readMs: nowMs };
    }
    return this.#cached.facts;
  }

  async #gather(): Promise<NodeFacts> {
    // Loaded when first asked for: it is large, and an agent's start should not wait for it.
    const si = await import('systeminformation');
    const [os, cpu, memory, load] = await Promise.all([si.osInfo(), si.cpu(), si.mem(), si.currentLoad()]);
    return {
      name: this.#name,
      addresses: this.#addresses,
      kernel: os.kernel,
      distribution: `${os.distro} ${os.release}`.trim(),
      cpu: `${cpu.manufacturer} ${cpu.brand}`.trim(),
      cores: cpu.cores,
      loadAverage1m: load.avgLoad,
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
