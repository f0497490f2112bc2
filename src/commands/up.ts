// SPDX-License-Identifier: Apache-2.0

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentConfig } from '../agent.ts';
import { writingState } from '../config/paths.ts';
import type { Config } from '../config/table.ts';
import type { ControlConfig } from '../control/mesh.ts';
import { openControl } from '../control.ts';
import { writeFileAtomicallyAsync } from '../host/atomic-file.ts';
import { Closers } from '../model/closers.ts';
import type { Logger } from '../telemetry/logger.ts';
import { defineCommand } from './command.ts';
import { openNodeAgent } from './open-agent.ts';
import { openLogger, requireRoot, runService, type Service } from './service.ts';

// Longer than any run: it is made anew at each start, and lies beside the key that makes tokens.
const TOKEN_TTL_MS = 3650 * 24 * 3600_000;

export const command = defineCommand({
  name: 'up',
  summary: 'A control plane and an agent for this machine, in one process.',
  usage: '--manifests',
  description:
    'The agent is a client of the control plane over TLS, as it would be on another machine. Other nodes may join: make them a\n' +
    'token with `groundwire control token`. Ctrl-C ends every pod and leaves nothing behind.',
  examples: [
    'groundwire up --manifests ./manifests',
    'groundwire up --manifests ./manifests --listen 10.0.0.1:15012 --log-format json',
  ],
  parts: [
    'directory',
    'control',
    'defaults',
    'mesh',
    'node',
    'state',
    'kernel',
    'engine',
    'pods',
    'api',
    'log',
    'accessLog',
  ],
  run: async (config, _words, io) => {
    requireRoot('up', 'its agent loads eBPF programs and makes network namespaces');
    const log = openLogger(config.log);
    return runService(io, log, config, (signal) => openBoth(config, log, signal));
  },
});

type UpConfig = AgentConfig & Omit<ControlConfig, 'stateDirectory'>;

/** Opens the control plane, then the agent that joins it; they close the other way round. */
async function openBoth(
  config: Omit<UpConfig, 'upstream' | 'exit' | 'source' | 'kubernetes'> & Config<'directory'>,
  log: Logger,
  signal: AbortSignal,
): Promise<Service> {
  const closers = new Closers(log);
  try {
    const { name } = config.node;
    const stateDirectory = config.state.directory;
    const source = { kind: 'directory', manifests: config.directory.manifests } as const;
    const control = await openControl({ ...config, source, stateDirectory }, log.child('control'), signal);
    closers.add('control plane', () => control.close());
    signal.throwIfAborted();
    const tokenFile = join(stateDirectory, name, 'join.token');
    closers.add('join token', () => rm(tokenFile, { force: true }));
    await writingState(stateDirectory, () =>
      writeFileAtomicallyAsync(tokenFile, control.makeJoinFile(name, TOKEN_TTL_MS), 0o600),
    );
    const upstream = {
      control: { host: dialHost(config.control.listen.host), port: control.port },
      tokenFile,
      rootCertificateFile: undefined,
      serverName: undefined,
      agentPod: undefined,
      agentNamespace: 'groundwire-system',
      podRegistry: true,
    };
    const kubernetes = { kubeconfig: undefined };
    const agent = await openNodeAgent({ ...config, kubernetes, upstream, exit: { keepPods: false } }, log, signal);
    closers.add('agent', () => agent.close());
    return { close: () => closers.close() };
  } catch (error) {
    await closers.close();
    throw error;
  }
}

/** Where a client on this machine finds who listens there: a wildcard is no destination. */
export function dialHost(listenHost: string): string {
  if (listenHost === '0.0.0.0' || listenHost === '') return '127.0.0.1';
  return listenHost === '::' ? '::1' : listenHost;
}
