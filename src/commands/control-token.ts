// SPDX-License-Identifier: Apache-2.0

import { makeNamedDirectory } from '../config/paths.ts';
import { namingAsync, type SettingUse } from '../config/setting-error.ts';
import { CertificateAuthority } from '../identity/certificate-authority.ts';
import { formatJoinFile, JoinTokens } from '../identity/join-token.ts';
import { systemClock } from '../model/clock.ts';
import { defineCommand } from './command.ts';
import { CliError, EXIT } from './exit-code.ts';
import { explainFailure } from './service.ts';

const WHERE = 'give the directory of `groundwire control` with --state-dir';

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
    const use: SettingUse = { flag: 'state-dir', value: stateDir, tried: 'used', hint: WHERE };
    try {
      const file = await namingAsync(use, async () => {
        requireControlPlane(stateDir, token.init);
        makeNamedDirectory('state-dir', stateDir, stateDir, 0o700);
        const authority = await CertificateAuthority.open({ stateDir, trustDomain: token.trustDomain, clock });
        return formatJoinFile(authority.rootsPem, JoinTokens.open(stateDir, clock).make(token.for, token.ttlMs));
      });
      io.print(file.trimEnd());
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
    `${stateDir} is not the state directory of a control plane: ${WHERE}, start \`groundwire control\` there first, or make root and keys now with --init`,
  );
}
