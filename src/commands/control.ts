// SPDX-License-Identifier: Apache-2.0

import { openControl } from '../control.ts';
import { defineCommand } from './command.ts';
import { openLogger, runService } from './service.ts';

export const command = defineCommand({
  name: 'control',
  summary: 'The control plane: manifests in, configuration and certificates out.',
  usage: '--manifests [--listen]',
  description:
    'Serves delta xDS, the certificate-signing API and the pod registry on one TLS port. The manifests are ordinary Kubernetes\n' +
    'YAML; a change takes effect within a second, and an object that is not valid leaves its last good version in force. An\n' +
    'AuthorizationPolicy whose first version is not valid denies everything in its scope (a PeerAuthentication: is STRICT) until it is\n' +
    'corrected or removed: nobody knows what it was to forbid. An emptied file keeps its objects; delete the file to take them away.',
  examples: [
    'groundwire control --manifests ./manifests',
    'groundwire control --manifests ./manifests --listen 10.0.0.1:15012 --certificate-ttl 1h',
  ],
  parts: ['control', 'mesh', 'defaults', 'state', 'log'],
  run: async (config, _words, io) => {
    const log = openLogger(config.log);
    return runService(io, log, config, (signal) =>
      openControl({ ...config, stateDirectory: config.state.directory }, log, signal),
    );
  },
});
