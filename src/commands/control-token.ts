// SPDX-License-Identifier: Apache-2.0

import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import { makeNamedDirectory } from '../config/paths.ts';
import { describeConfig } from '../config/render.ts';
import { naming, namingAsync, SettingError, type SettingUse } from '../config/setting-error.ts';
import type { Config } from '../config/table.ts';
import { writeFileAtomically } from '../host/atomic-file.ts';
import { CertificateAuthority } from '../identity/certificate-authority.ts';
import { formatJoinFile, JoinTokens, parseJoinFile } from '../identity/join-token.ts';
import { systemClock } from '../model/clock.ts';
import { defineCommand } from './command.ts';
import { CliError, EXIT } from './exit-code.ts';
import { explainFailure } from './service.ts';

const OUT = {
  flag: 'out',
  tried: 'written',
  hint: 'name a file that is not there yet, in a directory that is',
} as const;
const WHERE = 'give the directory of `groundwire control` with --state-dir';

export const command = defineCommand({
  name: 'control token',
  summary: 'Make the file with which a node joins: the roots and a token.',
  usage: '--node [--out] [--ttl] [--token-line-max] [--state-dir] [--init]',
  description:
    'Run it where the control plane keeps its state, after its first start. The file is a secret: whoever has it can report any pod\n' +
    'for that node, and gets a certificate with the identity of every pod that it reports. With --out nobody else can read it; what a\n' +
    'shell makes of `> FILE` is usually open to all. An earlier join file is replaced, any other file is left as it is.',
  examples: [
    'groundwire control token --node a --out a.token',
    'groundwire control token --node a --ttl 30d --state-dir /var/lib/groundwire --out a.token',
    "groundwire control token --node a | ssh root@a 'umask 077; cat > /etc/groundwire.token'",
  ],
  parts: ['token'],
  run: async ({ token }, _words, io) => {
    const clock = systemClock;
    const stateDir = token.stateDirectory;
    const use: SettingUse = { flag: 'state-dir', value: stateDir, tried: 'used', hint: WHERE };
    requireWithinLine(token);
    try {
      if (token.out !== undefined) requireReplaceable(token.out);
      const file = await namingAsync(use, async () => {
        requireControlPlane(stateDir, token.init);
        makeNamedDirectory('state-dir', stateDir, stateDir, 0o700);
        const authority = await CertificateAuthority.open({ stateDir, trustDomain: token.trustDomain, clock });
        return formatJoinFile(authority.rootsPem, JoinTokens.open(stateDir, clock).make(token.for, token.ttlMs));
      });
      if (token.out === undefined) io.print(file.trimEnd());
      else {
        const { out } = token;
        naming({ ...OUT, value: out }, () => writeFileAtomically(out, file, 0o600));
        io.print(
          `${out} lets node ${token.for} join; it is a secret: copy it to the node and give it to the agent with --token-file`,
        );
      }
    } catch (error) {
      explainFailure(error);
    }
    return EXIT.ok;
  },
});

// A longer one is what the bound is there to rule out: a file that is the key to the mesh for years.
function requireWithinLine(token: Config<'token'>['token']): void {
  if (token.ttlMs <= token.lineMaxMs) return;
  const shown = describeConfig({ token });
  throw new CliError(
    EXIT.usage,
    `--ttl ${shown['ttl']} is longer than --token-line-max ${shown['token-line-max']}: give less, since an attached node is given newer tokens until then; or give that of the control plane, if it is more`,
  );
}

// A token of a root that nobody serves is good for nothing, and two roots in two directories are hard to tell apart.
function requireControlPlane(stateDir: string, init: boolean): void {
  if (init || (CertificateAuthority.isMade(stateDir) && JoinTokens.isMade(stateDir))) return;
  throw new CliError(
    EXIT.notFound,
    `${stateDir} is not the state directory of a control plane: ${WHERE}, start \`groundwire control\` there first, or make root and keys now with --init`,
  );
}

/** A typing error must not cost a key or a manifest: what is there already is replaced only if it is empty or a join file. */
function requireReplaceable(path: string): void {
  const use: SettingUse = { ...OUT, value: path };
  naming(use, () => {
    statSync(dirname(path));
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isFile() || !isJoinFile(readFileSync(path, 'utf8')))
      throw new SettingError(use, new Error('it is there already and no join file'));
  });
}

function isJoinFile(text: string): boolean {
  try {
    return text === '' || parseJoinFile(text).rootsPem !== undefined;
  } catch {
    return false;
  }
}
