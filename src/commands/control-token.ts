// SPDX-License-Identifier: Apache-2.0

import { CertificateAuthority } from '../identity/certificate-authority.ts';
import { formatJoinFile, JoinTokens } from '../identity/join-token.ts';
import { systemClock } from '../model/clock.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { explainFailure } from './service.ts';

export const command = defineCommand({
  name: 'control token',
  summary: 'Make the file with which a node joins: the roots and a token.',
  usage: '--node NAME [--ttl DURATION] [--state-dir DIR]',
  description:
    'Run it where the control plane keeps its state. The file is a secret: whoever has it gets certificates for the pods of that node.',
  examples: [
    'groundwire control token --node a > a.token',
    'groundwire control token --node a --ttl 30d --state-dir /var/lib/groundwire > a.token',
  ],
  parts: ['token'],
  run: async ({ token }, _words, io) => {
    const clock = systemClock;
    const stateDir = token.stateDirectory;
    const authority = await CertificateAuthority.open({ stateDir, trustDomain: token.trustDomain, clock }).catch(
      explainFailure,
    );
    const tokens = JoinTokens.open(stateDir, clock);
    io.print(formatJoinFile(authority.rootsPem, tokens.make(token.for, token.ttlMs)).trimEnd());
    return EXIT.ok;
  },
});
