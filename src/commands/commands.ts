// SPDX-License-Identifier: Apache-2.0

import type { Command } from './command.ts';

/** A command as the overview lists it; its code is loaded when it is called. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

function entry(name: string, summary: string, load: () => Promise<{ readonly command: Command }>): CommandEntry {
  return { name, summary, load: async () => (await load()).command };
}

/** Every command, in the order of a newcomer's day. */
export const COMMANDS: readonly CommandEntry[] = [
  entry('up', 'control plane and agent for one machine', () => import('./up.ts')),
  entry('run', 'start a program as a pod', () => import('./run.ts')),
  entry('status', 'how an agent is doing', () => import('./status.ts')),
  entry('workloads', 'pods and machines of the mesh', () => import('./workloads.ts')),
  entry('services', 'services and their endpoints', () => import('./services.ts')),
  entry('policies', 'authorization policies', () => import('./policies.ts')),
  entry('certificates', 'certificates, without keys', () => import('./certificates.ts')),
  entry('connections', 'live connections', () => import('./connections.ts')),
  entry('explain', 'where a connection would go, and why', () => import('./explain.ts')),
  entry('doctor', 'what this machine can do, and what is missing', () => import('./doctor.ts')),
  entry('control', 'the control plane', () => import('./control.ts')),
  entry('control token', 'a token with which a node joins', () => import('./control-token.ts')),
  entry('agent', 'the agent of a node', () => import('./agent.ts')),
  entry('version', 'version of this program', () => import('./version.ts')),
];
