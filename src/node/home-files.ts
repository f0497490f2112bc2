// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';

/** What an agent has in the directory of its node, below the run directory. */
export interface HomeFiles {
  readonly directory: string;
  readonly socket: string;
  readonly lock: string;
  readonly pods: string;
  readonly sysctlMemory: string;
}

/** Only names; nothing is made. */
export function homeFiles(runDirectory: string, node: string): HomeFiles {
  const directory = join(runDirectory, node);
  return {
    directory,
    socket: join(directory, 'agent.sock'),
    lock: join(directory, 'agent.lock'),
    pods: join(directory, 'pods'),
    sysctlMemory: join(directory, 'forwarding'),
  };
}
