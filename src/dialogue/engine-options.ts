// SPDX-License-Identifier: Apache-2.0

import { existsSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { SettingError } from '../config/setting-error.ts';
import type { Config } from '../config/table.ts';
import type { EngineOptions } from '../model/messages.gen.ts';
import { connectionsOfFiles } from '../node/file-limit.ts';
import type { NodePlaces } from '../node/node-home.ts';
import { resolveFromByDefault, upstreamResolvers } from '../node/resolvers.ts';

/** Where the build puts the compiled eBPF objects. */
export const BPF_DIRECTORY = fileURLToPath(new URL('../../build/bpf', import.meta.url));

/** Where the compiled eBPF objects are; throws `SettingError` when they are not there. */
export function findBpfDirectory({ bpfDirectory = BPF_DIRECTORY }: Config<'kernel'>['kernel']): string {
  if (existsSync(join(bpfDirectory, 'connect.bpf.o'))) return bpfDirectory;
  throw new SettingError(
    {
      flag: 'bpf-dir',
      value: bpfDirectory,
      tried: 'used',
      hint: 'build them with `npm run build`, or name the directory where they are',
    },
    new Error('there are no compiled eBPF objects'),
  );
}

// More threads than this have nothing to do on one node's traffic, and each costs its buffers.
const WORKERS_MAX = 8;

const MEBIBYTE = 2 ** 20;

/** A sixteenth of what this agent may have: of the machine, or of its own cgroup where that has less. */
function keptMemoryByDefault(): number {
  const limit = process.constrainedMemory();
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return Math.floor(Math.min(Math.max(memory / 16, 64 * MEBIBYTE), 256 * MEBIBYTE));
}

/** The configuration in the engine's words; throws `SettingError`. `files`: how many this process may have open. */
export function engineOptions(
  { kernel, engine, mesh, upstream }: Config<'kernel' | 'engine' | 'mesh' | 'upstream'>,
  places: NodePlaces & { readonly probeCgroup: string | undefined },
  resolvers: readonly string[],
  files: number,
): EngineOptions {
  return {
    // What the table and the schema name alike goes over as it is.
    ...engine,
    pinDirectory: places.pinDirectory,
    podsCgroup: places.podsCgroup,
    agentCgroup: places.agentCgroup,
    probeCgroup: places.probeCgroup,
    bpfDirectory: findBpfDirectory(kernel),
    trustDomain: mesh.trustDomain,
    workerThreads: engine.workerThreads === 0 ? Math.min(availableParallelism(), WORKERS_MAX) : engine.workerThreads,
    upstreamResolvers: upstreamResolvers(resolvers, engine.resolveFrom ?? resolveFromByDefault(upstream.podRegistry)),
    // Or the pods would get their shares of what there is not, and whoever comes last finds no file.
    connectionsMax: Math.min(engine.connectionsMax, connectionsOfFiles(files)),
    keptMemoryBytes: engine.keptMemoryBytes ?? keptMemoryByDefault(),
  };
}
