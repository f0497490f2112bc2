// SPDX-License-Identifier: Apache-2.0

import { defineCommand } from './command.ts';
import { openNodeAgent } from './open-agent.ts';
import { openLogger, requireRoot, runService } from './service.ts';

export const command = defineCommand({
  name: 'agent',
  summary: 'The agent of a node: captures its pods and carries their traffic.',
  usage: '--control --token-file [--node]',
  description:
    'Gets configuration and certificates from the control plane, ours or istiod. Stopped, it leaves its pods captured (fail\n' +
    'closed) for the next agent of the node; with --keep-pods=false it ends them and leaves nothing.',
  examples: [
    'groundwire agent --node a --control 10.0.0.1:15012 --token-file a.token',
    'groundwire agent --control istiod.istio-system.svc:15012 --token-file /var/run/secrets/tokens/istio-token --root-cert /var/run/secrets/istio/root-cert.pem --agent-namespace istio-system --pod-registry=false',
  ],
  parts: [
    'node',
    'state',
    'upstream',
    'kernel',
    'engine',
    'pods',
    'kubernetes',
    'exit',
    'mesh',
    'api',
    'log',
    'accessLog',
  ],
  run: async (config, _words, io) => {
    requireRoot('agent', 'it loads eBPF programs and enters the network namespaces of pods');
    const log = openLogger(config.log);
    // Of pods that the API server knows nobody else needs to be told.
    const podRegistry = config.upstream.podRegistry && config.pods.source === 'run';
    const upstream = { ...config.upstream, podRegistry };
    return runService(io, log, config, (signal) => openNodeAgent({ ...config, upstream }, log, signal));
  },
});
