// SPDX-License-Identifier: Apache-2.0

import { CertificateAuthority } from '../identity/certificate-authority.ts';
import { formatJoinFile, JoinTokens } from '../identity/join-token.ts';
import { systemClock } from '../model/clock.ts';
import { defineCommand } from './command.ts';
import { CliError, EXIT } from './exit-code.ts';
import { explainFailure } from './service.ts';

export const command = defineCommand({
  name: 'control token',
  summary: 'Make the file with which a node joins: the roots and a token.',
  usage: '--node [--ttl] [--state-dir] [--init]',
  description:
    'Run it where the control plane keeps its state, after its first start. The file is a secret: whoever has it can report any pod\n' +
    'for that node, and gets a certificate with the identity of every pod that it reports.',
  examples: [
    'groundwire control token --node a > a.token',
    'groundwire control token --node a --ttl 30d --state-dir /var/lib/groundwire > a.token',
  ],
  parts: ['token'],
  run: async ({ token }, _words, io) => {
    const clock = systemClock;
    const stateDir = token.stateDirectory;
    try {
      requireControlPlane(stateDir, token.init);
      const authority = await CertificateAuthority.open({ stateDir, trustDomain: token.trustDomain, clock });
      const tokens = JoinTokens.open(stateDir, clock);
      io.print(formatJoinFile(authority.rootsPem, tokens.make(token.for, token.ttlMs)).trimEnd());
    } catch (error) {
      explainFailure(error);
    }
    return EXIT.ok;
  },
});

// A token of a root that nobody serves is good for nothing, and two roots in two directories are hard to tell apart.
function requireControlPlane(stateDir: string, init: boolean): void {
  if (init || (CertificateAuthority.isMade(stateDir) && JoinTokens.isMade(stateDir))) return;
  throw new CliError(
    EXIT.notFound,
    `${stateDir} is not the state directory of a control plane: give the one of \`groundwire control\` with --state-dir, start \`groundwire control\` there first, or make root and keys now with --init`,
  );
}
