// SPDX-License-Identifier: Apache-2.0

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { openAgent } from '../agent.ts';
import { openControl } from '../control.ts';
import { NativeEngine } from '../engine/native-engine.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { explainFailure, openLogger, requireRoot, waitForEnd } from './service.ts';

// The token is made anew at each start; it need not outlive a run by much.
const TOKEN_TTL_MS = 365 * 24 * 3600_000;

export const command = defineCommand({
  name: 'up',
  summary: 'A control plane and an agent for this machine, in one process.',
  usage: '--manifests DIR',
  description:
    'The agent is a client of the control plane over TLS, as it would be on another machine. Other nodes may join: make them a\n' +
    'token with `groundwire control token`. Ctrl-C ends every pod and leaves nothing behind.',
  examples: [
    'groundwire up --manifests ./manifests',
    'groundwire up --manifests ./manifests --listen 10.0.0.1:15012 --log-format json',
  ],
  parts: ['control', 'defaults', 'mesh', 'node', 'engine', 'pods', 'api', 'log'],
  run: async (config, _words, io) => {
    requireRoot('up', 'its agent loads eBPF programs and makes network namespaces');
    const log = openLogger(config.log);
    const { stateDirectory } = config.node;
    const control = await openControl({ ...config, stateDirectory }, log.child('control')).catch(explainFailure);
    try {
      const tokenFile = join(stateDirectory, config.node.name, 'join.token');
      await mkdir(join(stateDirectory, config.node.name), { recursive: true, mode: 0o700 });
      await writeFile(tokenFile, control.makeJoinFile(config.node.name, TOKEN_TTL_MS), { mode: 0o600 });
      const upstream = {
        control: { host: '127.0.0.1', port: control.port },
        tokenFile,
        rootCertificateFile: undefined,
        serverName: undefined,
        podRegistry: true,
      };
      const pods = { ...config.pods, keepOnExit: false };
      const agent = await openAgent({ ...config, pods, upstream }, log, (options) => NativeEngine.open(options)).catch(
        explainFailure,
      );
      await waitForEnd(io, log);
      await agent.close();
      await rm(tokenFile, { force: true });
    } finally {
      await control.close();
    }
    return EXIT.ok;
  },
});
