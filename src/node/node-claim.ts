// SPDX-License-Identifier: Apache-2.0

// A node's name, taken on this machine: what a pod is made of (namespaces, cgroups, pins) is called after the node and not
// after the run directory, so whoever has another run directory must be kept from it, too.
//
//     /run/groundwire/<node>/node.lock       the agent that has the node
//     /run/groundwire/<node>/run-directory   where it keeps its pods: read by who is refused, and by the next agent

import { rm, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { makeNamedDirectory } from '../config/paths.ts';
import { namingAsync, SettingError } from '../config/setting-error.ts';
import { writeFileAtomically } from '../host/atomic-file.ts';
import { readIfThere } from '../host/if-there.ts';
import { takeLock } from '../host/process-lock.ts';
import { homeFiles } from './home-files.ts';

// No setting: who could move it could have the node twice.
const CLAIMS_DIRECTORY = '/run/groundwire';

/** The pods whose holders live, of those that a run directory tells of, in words; `undefined` for none. */
export type NameLivingPods = (directory: string) => Promise<string | undefined>;

/** Words for who finds the node taken. */
export function refuseNode(node: string, lock: string): (holder: number) => string {
  return (holder) =>
    `node ${node} is served by another agent already, process ${holder} (${lock}); stop that one, or give this one another --node`;
}

/** The run directory of the agent that has the node or had it last; `undefined` where none left its pods behind. */
export function findRunDirectory(node: string, claims = CLAIMS_DIRECTORY): Promise<string | undefined> {
  return readIfThere(join(claims, node, 'run-directory'));
}

/** The claim of one agent to a node of this machine. */
export class NodeClaim {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Throws `LockHeld` when another agent has the node, and `SettingError` when pods live that an agent with another run
   * directory made: with this one they would be taken for leftovers.
   */
  static async take(
    node: string,
    runDirectory: string,
    nameLivingPods: NameLivingPods,
    claims = CLAIMS_DIRECTORY,
  ): Promise<NodeClaim> {
    const directory = join(claims, node);
    const lock = join(directory, 'node.lock');
    makeNamedDirectory('node', node, directory, 0o700);
    const claim = new NodeClaim(directory);
    const use = { flag: 'node', value: node, tried: 'locked', hint: `see what is in the way at ${directory}` };
    await namingAsync(use, () => takeLock(lock, refuseNode(node, lock)));
    try {
      const earlier = await namingAsync(use, () => findRunDirectory(node, claims));
      await refuseStrangers(node, runDirectory, earlier, nameLivingPods);
      await namingAsync(use, async () => {
        writeFileAtomically(join(directory, 'run-directory'), resolve(runDirectory), 0o600);
      });
      return claim;
    } catch (error) {
      await claim.release(true);
      throw error;
    }
  }

  /** With pods that live on, whose they are is remembered. */
  async release(podsLive: boolean): Promise<void> {
    if (!podsLive) await rm(join(this.#directory, 'run-directory'), { force: true });
    await rm(join(this.#directory, 'node.lock'), { force: true });
    // What else is in it is another's.
    await rmdir(this.#directory).catch(() => {});
  }
}

async function refuseStrangers(
  node: string,
  runDirectory: string,
  earlier: string | undefined,
  nameLivingPods: NameLivingPods,
): Promise<void> {
  if (earlier === undefined || earlier === resolve(runDirectory)) return;
  const { pods: directory } = homeFiles(earlier, node);
  const hint = 'see what is in the way, and start the agent again; its pods stay as they are until then';
  const pods = await namingAsync({ flag: 'run-dir', value: directory, tried: 'read', hint }, () =>
    nameLivingPods(directory),
  );
  if (pods === undefined) return;
  throw new SettingError(
    {
      flag: 'run-dir',
      value: runDirectory,
      tried: 'used',
      hint: `start the agent with --run-dir ${earlier} (GROUNDWIRE_RUN_DIR), or end them first`,
    },
    new Error(`pods of node ${node} live that were started with --run-dir ${earlier} (${pods})`),
  );
}
