// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';
import type { SourceConfig } from '../control/source.ts';
import { openControl } from '../control.ts';
import { defineCommand } from './command.ts';
import { CliError, EXIT } from './exit-code.ts';
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
    'groundwire control --kube --server-name groundwire-control.groundwire-system.svc',
  ],
  parts: ['source', 'kubernetes', 'control', 'mesh', 'defaults', 'state', 'log'],
  run: async (config, _words, io) => {
    const source = sourceOf(config);
    const log = openLogger(config.log);
    return runService(io, log, config, (signal) =>
      openControl({ ...config, source, stateDirectory: config.state.directory }, log, signal),
    );
  },
});

function sourceOf({ source, kubernetes }: Config<'source' | 'kubernetes'>): SourceConfig {
  const { manifests, kube, ...settings } = source;
  if (kube && manifests === undefined) return { kind: 'kubernetes', ...settings, ...kubernetes };
  if (!kube && manifests !== undefined) return { kind: 'directory', manifests };
  const reason = 'say where the mesh is written down: either --manifests DIR (or GROUNDWIRE_MANIFESTS) or --kube';
  throw new CliError(EXIT.usage, `groundwire control: ${reason}`);
}
