// SPDX-License-Identifier: Apache-2.0

import { openAgent } from '../agent.ts';
import { NativeEngine } from '../engine/native-engine.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { explainFailure, openLogger, requireRoot, waitForEnd } from './service.ts';

export const command = defineCommand({
  name: 'agent',
  summary: 'The agent of a node: captures its pods and carries their traffic.',
  usage: '--control HOST:PORT --token-file FILE [--node NAME]',
  description:
    'Gets configuration and certificates from the control plane, ours or istiod. Stopped, it leaves its pods captured (fail\n' +
    'closed) for the next agent of the node; with --keep-pods=false it ends them and leaves nothing.',
  examples: [
    'groundwire agent --node a --control 10.0.0.1:15012 --token-file a.token',
    'groundwire agent --control istiod.istio-system.svc:15012 --token-file /var/run/secrets/tokens/istio-token --root-cert /var/run/secrets/istio/root-cert.pem --pod-registry=false',
  ],
  parts: ['node', 'upstream', 'engine', 'pods', 'mesh', 'api', 'log'],
  run: async (config, _words, io) => {
    requireRoot('agent', 'it loads eBPF programs and enters the network namespaces of pods');
    const log = openLogger(config.log);
    const agent = await openAgent(config, log, (options) => NativeEngine.open(options)).catch(explainFailure);
    await waitForEnd(io, log);
    await agent.close();
    return EXIT.ok;
  },
});
