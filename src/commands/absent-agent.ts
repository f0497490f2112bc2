// SPDX-License-Identifier: Apache-2.0

import { basename, dirname } from 'node:path';
import { isSystemError, systemReason } from '../config/setting-error.ts';
import { findHolder, type LockHolder } from '../host/process-lock.ts';
import { type HomeFiles, homeFiles } from '../node/home-files.ts';
import { findLivingPods, listPods } from '../pods/living-pods.ts';

/**
 * Of an agent on whose socket nobody listens: what has become of it, which pods have no network meanwhile, and what to
 * do. `undefined` where it has left nothing, or where the socket is not at the place of one.
 */
export async function explainAbsence(socket: string): Promise<string | undefined> {
  const directory = dirname(socket);
  const node = basename(directory);
  const files = homeFiles(dirname(directory), node);
  if (files.socket !== socket) return undefined;
  try {
    return await explainHome(node, files);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const reason = `${systemReason(error)} (${error.path ?? directory})`;
    return `nobody listens on ${socket}, and what the agent of node ${node} has left cannot be read: ${reason}; see what is in the way, and start the agent again`;
  }
}

async function explainHome(node: string, { socket, lock, pods }: HomeFiles): Promise<string | undefined> {
  const holder = await findHolder(lock);
  // Captured stays captured, by the kernel, for as long as the pod lives: nothing leaves it in plaintext.
  const cutOff = await findLivingPods(pods, (record) => record.captured);
  if (holder === undefined && cutOff.length === 0) return undefined;
  const back = holder?.alive === true ? 'it listens' : 'an agent of the node runs again';
  const advice =
    holder?.alive === true
      ? 'it starts, stops or is stuck: look at its log, and ask again'
      : `start it as before (\`groundwire up\` or \`groundwire agent\`, with --node ${node} and its other options)`;
  return `${describeEnd(node, socket, holder)}; ${describeCutOff(cutOff, back)}${advice}`;
}

function describeEnd(node: string, socket: string, holder: LockHolder | undefined): string {
  if (holder === undefined) return `the agent of node ${node} was stopped (${socket})`;
  const process = holder.pid === 0 ? 'its process' : `its process, ${holder.pid},`;
  return holder.alive
    ? `the agent of node ${node} does not listen on ${socket}, and ${process} runs`
    : `the agent of node ${node} is gone: ${process} has ended, and nobody listens on ${socket}`;
}

function describeCutOff(pods: readonly string[], back: string): string {
  if (pods.length === 0) return '';
  const are = pods.length === 1 ? '1 pod that it captured has' : `${pods.length} pods that it captured have`;
  return `${are} no network until ${back} (${listPods(pods)}); `;
}
