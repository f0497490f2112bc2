// SPDX-License-Identifier: Apache-2.0

// Where an agent lives on its machine: run directory with lock, cgroups, pins. Opened before anything else, closed last.

import { link, mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { findCgroupRoot, joinCgroup, ownCgroup, removeCgroup, removeEmptyCgroup } from './cgroup.ts';
import { findProcess, isAlive, type ProcessId, runProgram } from './process.ts';

// linux/magic.h BPF_FS_MAGIC
const BPF_FS_MAGIC = 0xcafe4a11;

export interface NodeHomeOptions {
  readonly node: string;
  readonly runDirectory: string;
  readonly bpffs: string;
  /** Default: found. */
  readonly cgroupRoot: string | undefined;
}

/** The node is served already. */
export class NodeBusy extends Error {
  override readonly name = 'NodeBusy';
}

/** Where the engine of a node keeps its kernel state. */
export interface NodePlaces {
  readonly pinDirectory: string;
  readonly podsCgroup: string;
  readonly agentCgroup: string;
}

/** Only names; nothing is made. The last part of the pins is the version of their layout. */
export function findPlaces(node: string, bpffs: string, cgroupRoot: string): NodePlaces {
  return {
    pinDirectory: join(bpffs, 'groundwire', node, 'v1'),
    podsCgroup: join(cgroupRoot, 'groundwire', node, 'pods'),
    agentCgroup: join(cgroupRoot, 'groundwire', node, 'agent'),
  };
}

/** The places of one agent. */
export class NodeHome implements NodePlaces {
  readonly directory: string;
  readonly socket: string;
  readonly podsDirectory: string;
  readonly sysctlMemory: string;
  readonly pinDirectory: string;
  readonly podsCgroup: string;
  readonly agentCgroup: string;
  readonly #cgroupRoot: string;
  readonly #bpffs: string;
  readonly #cgroupBefore: string;

  private constructor(options: NodeHomeOptions, cgroupRoot: string, cgroupBefore: string) {
    const { node, runDirectory, bpffs } = options;
    this.directory = join(runDirectory, node);
    this.socket = join(this.directory, 'agent.sock');
    this.podsDirectory = join(this.directory, 'pods');
    this.sysctlMemory = join(this.directory, 'forwarding');
    const places = findPlaces(node, bpffs, cgroupRoot);
    this.pinDirectory = places.pinDirectory;
    this.podsCgroup = places.podsCgroup;
    this.agentCgroup = places.agentCgroup;
    this.#cgroupRoot = cgroupRoot;
    this.#bpffs = bpffs;
    this.#cgroupBefore = cgroupBefore;
  }

  /** Takes the node's lock and moves this process into the agent's cgroup. Throws `NodeBusy` when another agent holds it. */
  static async open(options: NodeHomeOptions): Promise<NodeHome> {
    const cgroupRoot = options.cgroupRoot ?? (await findCgroupRoot());
    const home = new NodeHome(options, cgroupRoot, join(cgroupRoot, await ownCgroup()));
    await mkdir(home.directory, { recursive: true, mode: 0o700 });
    await home.#lock(options.node);
    await mountBpffs(options.bpffs);
    await mkdir(join(options.bpffs, 'groundwire', options.node), { recursive: true, mode: 0o700 });
    await mkdir(home.podsCgroup, { recursive: true });
    // Its own sockets are recognised by their cgroup, never by a mark that a pod could set.
    await joinCgroup(home.agentCgroup, process.pid);
    return home;
  }

  /** Whether pods of this node outlive the agent. */
  async hasPods(): Promise<boolean> {
    const names = await readdir(this.podsDirectory).catch(() => []);
    return names.length > 0;
  }

  /**
   * Leaves the node. With pods that live on, pins and cgroups stay, so that they stay captured (fail closed) until the
   * next agent; without any, nothing stays.
   */
  async close(podsLive: boolean): Promise<void> {
    // An earlier agent, killed, may have been what put us there: then we cannot go back to where we came from.
    const back = this.#cgroupBefore === this.agentCgroup ? this.#cgroupRoot : this.#cgroupBefore;
    await joinCgroup(back, process.pid).catch(() => joinCgroup(this.#cgroupRoot, process.pid));
    await removeEmptyCgroup(this.agentCgroup);
    if (!podsLive) {
      await rm(this.pinDirectory, { recursive: true, force: true });
      await removeEmptyDirectories(this.pinDirectory, this.#bpffs);
      await removeCgroup(this.podsCgroup);
      await removeEmptyDirectories(this.podsCgroup, this.#cgroupRoot);
      await rm(this.directory, { recursive: true, force: true });
    } else {
      await rm(this.socket, { force: true });
      await rm(join(this.directory, 'agent.lock'), { force: true });
    }
  }

  async #lock(node: string): Promise<void> {
    const path = join(this.directory, 'agent.lock');
    const claim = `${path}.${process.pid}`;
    await writeFile(claim, JSON.stringify(await findProcess(process.pid)), { mode: 0o600 });
    try {
      await this.#claim(node, path, claim);
    } finally {
      await rm(claim, { force: true });
    }
  }

  async #claim(node: string, path: string, claim: string): Promise<void> {
    for (;;) {
      try {
        // The name appears with its content or not at all: nobody reads a lock without a holder in it.
        await link(claim, path);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = await readHolder(path);
      if (holder !== undefined && (await isAlive(holder))) {
        throw new NodeBusy(
          `node ${node} is served by another agent already, process ${holder.pid} (${path}); stop that one, or give this one another --node`,
        );
      }
      await rm(path, { force: true });
    }
  }
}

async function readHolder(path: string): Promise<ProcessId | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ProcessId;
  } catch {
    return undefined; // Given back meanwhile.
  }
}

async function mountBpffs(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  if ((await statfs(directory)).type === BPF_FS_MAGIC) return;
  await runProgram('mount', ['-t', 'bpf', '-o', 'mode=0700', 'bpf', directory]);
}

/** Removes a directory and its parents up to `top` for as long as they are empty. */
async function removeEmptyDirectories(directory: string, top: string): Promise<void> {
  for (let path = directory; path.startsWith(`${top}/`); path = join(path, '..')) {
    const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
    if (entries.some((entry) => entry.isDirectory() || !path.includes('/cgroup'))) return;
    await removeEmptyCgroup(path);
  }
}
