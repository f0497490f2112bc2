// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineOptions } from '#src/engine/index.ts';
import { mountsOf } from '#src/host/mounts.ts';

/** Why these tests cannot run here; undefined where they can. */
export const cannotRun: string | undefined =
  process.getuid?.() === 0 ? undefined : 'opening the engine needs root: it loads eBPF programs and makes pins';

function cgroupMount(): string {
  const [mount] = mountsOf('cgroup2');
  if (mount === undefined) throw new Error('no cgroup v2 is mounted on this machine');
  return mount;
}

/** The cgroup v2 that this process is in, relative to the mount. */
function ownCgroup(): string {
  return /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
}

/** Options with which an engine would run, but for its places. */
export const ANY_OPTIONS: EngineOptions = {
  pinDirectory: '',
  podsCgroup: '',
  agentCgroup: '',
  probeCgroup: undefined,
  bpfDirectory: join(import.meta.dirname, '../../build/bpf'),
  trustDomain: 'cluster.local',
  workerThreads: 2,
  upstreamResolvers: [{ address: '127.0.0.1', fromNode: true }],
  connectTimeoutMs: 1000,
  tlsTimeoutMs: 1000,
  verdictTimeoutMs: 1000,
  verdictQueueMax: 16,
  connectionsMax: 64,
  streamsPerTunnelMax: 16,
  tunnelsAcceptedMax: 64,
  tunnelIdleMs: 1000,
  streamWindowBytes: 65_536,
  connectionWindowBytes: 262_144,
  keptMemoryBytes: 64 << 20,
  pingIntervalMs: 1000,
  pingTimeoutMs: 1000,
};

/** A bpffs and cgroups that nothing else uses; disposing removes them, and with them every pin. */
export class EngineFixture implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'gwc-engine-'));
  readonly #cgroup = join(cgroupMount(), `gwc-engine-${process.pid}-${this.#directory.slice(-6)}`);
  readonly #home = ownCgroup();
  #engines = 0;

  constructor() {
    execFileSync('mount', ['-t', 'bpf', 'bpf', this.#directory]);
    for (const path of ['', 'pods', 'agent']) mkdirSync(join(this.#cgroup, path));
  }

  /** Options of one more engine, with pins of its own. */
  options(): EngineOptions {
    this.#engines += 1;
    return {
      ...ANY_OPTIONS,
      pinDirectory: join(this.#directory, `engine-${this.#engines}`),
      podsCgroup: join(this.#cgroup, 'pods'),
      agentCgroup: join(this.#cgroup, 'agent'),
    };
  }

  [Symbol.dispose](): void {
    execFileSync('umount', [this.#directory]);
    // An engine takes the process that opens it into the agent's cgroup.
    writeFileSync(join(cgroupMount(), this.#home, 'cgroup.procs'), String(process.pid));
    rmSync(this.#directory, { recursive: true });
    for (const path of ['pods', 'agent', '']) rmdirSync(join(this.#cgroup, path));
  }
}
