// SPDX-License-Identifier: Apache-2.0

// Where an agent lives on its machine: run directory with lock, cgroups, pins. Opened before anything else, closed last.

import { mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';

import type { Log } from '../model/log.ts';
import { findCgroupRoot, joinCgroup, ownCgroup, removeCgroup, removeEmptyCgroup } from './cgroup.ts';
import { runProgram } from './process.ts';
import { takeLock } from './process-lock.ts';

// linux/magic.h BPF_FS_MAGIC
const BPF_FS_MAGIC = 0xcafe4a11;
const LOCK_NAME = 'agent.lock';

export interface NodeHomeOptions {
  readonly node: string;
  readonly runDirectory: string;
  readonly bpffs: string;
  /** Default: found. */
  readonly cgroupRoot: string | undefined;
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

  /** Takes the node's lock and moves this process into the agent's cgroup. Throws `LockHeld` when another agent has it. */
  static async open(options: NodeHomeOptions, log: Log): Promise<NodeHome> {
    const cgroupRoot = options.cgroupRoot ?? (await findCgroupRoot());
    const home = new NodeHome(options, cgroupRoot, join(cgroupRoot, await ownCgroup()));
    await mkdir(home.directory, { recursive: true, mode: 0o700 });
    const lock = join(home.directory, LOCK_NAME);
    await takeLock(
      lock,
      (holder) =>
        `node ${options.node} is served by another agent already, process ${holder} (${lock}); stop that one, or give this one another --node`,
    );
    try {
      await mountBpffs(options.bpffs);
      await mkdir(join(options.bpffs, 'groundwire', options.node), { recursive: true, mode: 0o700 });
      await mkdir(home.podsCgroup, { recursive: true });
      // Its own sockets are recognised by their cgroup, never by a mark that a pod could set.
      await joinCgroup(home.agentCgroup, process.pid);
      return home;
    } catch (error) {
      await home.close(await home.hasPods()).catch((closing: unknown) => {
        log.error('not closed', { what: 'node', error: String(closing) });
      });
      throw error;
    }
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
      await removeEmptyDirectories(this.pinDirectory, this.#bpffs, 'files count');
      await removeCgroup(this.podsCgroup);
      await removeEmptyDirectories(this.podsCgroup, this.#cgroupRoot, 'files come with it');
      await rm(this.directory, { recursive: true, force: true });
    } else {
      await rm(this.socket, { force: true });
      await rm(join(this.directory, LOCK_NAME), { force: true });
    }
  }
}

async function mountBpffs(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  if ((await statfs(directory)).type === BPF_FS_MAGIC) return;
  await runProgram('mount', ['-t', 'bpf', '-o', 'mode=0700', 'bpf', directory]);
}

/** Removes a directory and its parents up to `top` for as long as they are empty; a cgroup has its files all the same. */
async function removeEmptyDirectories(
  directory: string,
  top: string,
  files: 'files count' | 'files come with it',
): Promise<void> {
  for (let path = directory; path.startsWith(`${top}/`); path = join(path, '..')) {
    const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
    if (entries.some((entry) => entry.isDirectory() || files === 'files count')) return;
    await removeEmptyCgroup(path);
  }
}
