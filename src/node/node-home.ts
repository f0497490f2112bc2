// SPDX-License-Identifier: Apache-2.0

// Where an agent lives on its machine: run directory with lock, cgroups, pins. Opened before anything else, closed last.

import { readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { fileExists, makeNamedDirectory } from '../config/paths.ts';
import { namingAsync, SettingError } from '../config/setting-error.ts';
import { takeLock } from '../host/process-lock.ts';
import type { Log } from '../model/log.ts';
import { mountBpffs } from './bpffs.ts';
import { findCgroupRoot, joinCgroup, ownCgroup, removeCgroup, removeEmptyCgroup, requireCgroup } from './cgroup.ts';
import { homeFiles } from './home-files.ts';
import { type NameLivingPods, NodeClaim, refuseNode } from './node-claim.ts';
import { pinDirectoryOf, refuseOtherPins } from './pins.ts';

// sizeof(sockaddr_un.sun_path), with its zero.
const SOCKET_PATH_BYTES_MAX = 107;

export interface NodeHomeOptions {
  readonly node: string;
  readonly runDirectory: string;
  readonly bpffs: string;
  /** Default: found. */
  readonly cgroupRoot: string | undefined;
}

/** What a home asks of the pods that live in it. */
export interface HomePods {
  readonly nameLiving: NameLivingPods;
  /** Whether a directory of pods may hold any. */
  readonly mayBeIn: (directory: string) => Promise<boolean>;
}

/** Where the engine of a node keeps its kernel state. */
export interface NodePlaces {
  readonly pinDirectory: string;
  readonly podsCgroup: string;
  readonly agentCgroup: string;
}

/** Only names; nothing is made. */
export function findPlaces(node: string, bpffs: string, cgroupRoot: string): NodePlaces {
  return {
    pinDirectory: pinDirectoryOf(bpffs, node),
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
  /** Agents that found this node taken, as far as they could tell. */
  readonly counters = { agentsRefused: 0 };
  readonly #lock: string;
  readonly cgroupRoot: string;
  readonly #bpffs: string;
  readonly #cgroupBefore: string;
  readonly #log: Log;
  #claim: NodeClaim | undefined;

  private constructor(options: NodeHomeOptions, cgroupRoot: string, cgroupBefore: string, log: Log) {
    const { node, runDirectory, bpffs } = options;
    const files = homeFiles(runDirectory, node);
    this.directory = files.directory;
    this.socket = files.socket;
    this.podsDirectory = files.pods;
    this.sysctlMemory = files.sysctlMemory;
    this.#lock = files.lock;
    const places = findPlaces(node, bpffs, cgroupRoot);
    this.pinDirectory = places.pinDirectory;
    this.podsCgroup = places.podsCgroup;
    this.agentCgroup = places.agentCgroup;
    this.cgroupRoot = cgroupRoot;
    this.#bpffs = bpffs;
    this.#cgroupBefore = cgroupBefore;
    this.#log = log;
  }

  /**
   * Takes the node and moves this process into the agent's cgroup; nothing of the node is touched before it is ours.
   *
   * Throws `LockHeld` when another agent has it, whatever its run directory, and `SettingError` for a place that cannot
   * be had.
   */
  static async open(options: NodeHomeOptions, pods: HomePods, log: Log): Promise<NodeHome> {
    const { runDirectory, bpffs } = options;
    const cgroupRoot =
      options.cgroupRoot === undefined ? findCgroupRoot() : await requireCgroup('cgroup-root', options.cgroupRoot);
    const home = new NodeHome(options, cgroupRoot, join(cgroupRoot, await ownCgroup()), log);
    checkSocketPath(home.socket, runDirectory);
    makeNamedDirectory('bpffs', bpffs, bpffs);
    makeNamedDirectory('run-dir', runDirectory, home.directory, 0o700);
    const inDirectory = {
      flag: 'run-dir',
      value: home.directory,
      tried: 'written to',
      hint: 'name a directory that can be written to',
    };
    try {
      await namingAsync(inDirectory, () => takeLock(home.#lock, refuseNode(options.node, home.#lock)));
      try {
        home.#claim = await NodeClaim.take(options.node, runDirectory, pods.nameLiving);
      } catch (error) {
        await rm(home.#lock, { force: true });
        throw error;
      }
    } catch (error) {
      // Without the locks nothing in it is ours; empty, it was made for us.
      await rmdir(home.directory).catch(() => {});
      throw error;
    }
    try {
      await mountBpffs(bpffs);
      await refuseOtherPins(bpffs, options.node);
      makeNamedDirectory('bpffs', bpffs, dirname(home.pinDirectory), 0o700);
      makeNamedDirectory('cgroup-root', cgroupRoot, home.podsCgroup);
      // Its own sockets are recognised by their cgroup, never by a mark that a pod could set.
      await namingAsync(
        {
          flag: 'cgroup-root',
          value: cgroupRoot,
          tried: 'used',
          hint: 'name a cgroup v2 whose processes this one may join',
        },
        () => joinCgroup(home.agentCgroup, process.pid),
      );
      return home;
    } catch (error) {
      await home.close(await pods.mayBeIn(home.podsDirectory)).catch((closing: unknown) => {
        log.error('not closed', { what: 'node', error: String(closing) });
      });
      throw error;
    }
  }

  /**
   * Leaves the node. With pods that live on, pins and cgroups stay, so that they stay captured (fail closed) until the
   * next agent; without any, nothing stays.
   */
  async close(podsLive: boolean): Promise<void> {
    // An earlier agent, killed, may have been what put us there: then we cannot go back to where we came from.
    const back = this.#cgroupBefore === this.agentCgroup ? this.cgroupRoot : this.#cgroupBefore;
    await joinCgroup(back, process.pid).catch(() => joinCgroup(this.cgroupRoot, process.pid));
    await removeEmptyCgroup(this.agentCgroup);
    if (!podsLive) {
      await rm(this.pinDirectory, { recursive: true, force: true });
      await removeEmptyDirectories(this.pinDirectory, this.#bpffs, 'files count');
      await removeCgroup(this.podsCgroup);
      await removeEmptyDirectories(this.podsCgroup, this.cgroupRoot, 'files come with it');
    } else {
      this.#log.info('pods live on, captured as they are, until the next agent of the node', {
        path: this.podsDirectory,
      });
    }
    // Forwarding that could not be turned off again is for the next agent to know of, too.
    if (podsLive || fileExists(this.sysctlMemory)) {
      await rm(this.socket, { force: true });
      await rm(this.#lock, { force: true });
    } else {
      await rm(this.directory, { recursive: true, force: true });
    }
    await this.#claim?.release(podsLive);
  }
}

function checkSocketPath(socket: string, runDirectory: string): void {
  const bytes = Buffer.byteLength(socket);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return;
  throw new SettingError(
    { flag: 'run-dir', value: runDirectory, tried: 'used', hint: 'choose a shorter one, or a shorter --node' },
    new Error(
      `the path of the socket in it, ${socket}, has ${bytes} bytes and the system takes ${SOCKET_PATH_BYTES_MAX}`,
    ),
  );
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
