// SPDX-License-Identifier: Apache-2.0

import { type Agent, type AgentConfig, openAgent } from '../agent.ts';
import { REFUSED_AGENTS_PATH } from '../api/refused-agents.ts';
import { LockHeld } from '../host/process-lock.ts';
import { findRunDirectory } from '../node/node-claim.ts';
import type { Logger } from '../telemetry/logger.ts';
import { AgentClient } from './agent-client.ts';
import { openEngine } from './open-engine.ts';

// The other agent answers at once or is stuck; nobody waits for that.
const TELL_TIMEOUT_MS = 1000;

/** Opens the agent of this node. Where the node is taken, whoever has it is told, and counts it, before this rejects. */
export async function openNodeAgent(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<Agent> {
  try {
    return await openAgent(config, log, openEngine, signal);
  } catch (error) {
    if (error instanceof LockHeld) await tellHolder(config.node).catch(() => {});
    throw error;
  }
}

async function tellHolder({ name, runDirectory }: AgentConfig['node']): Promise<void> {
  // Whoever has the node may have another run directory.
  const holders = (await findRunDirectory(name)) ?? runDirectory;
  const holder = await AgentClient.find({ node: name, runDirectory: holders, socket: undefined });
  await holder.ask('POST', REFUSED_AGENTS_PATH, { pid: process.pid }, TELL_TIMEOUT_MS);
}
