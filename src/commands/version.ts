// SPDX-License-Identifier: Apache-2.0

import { readVersion } from '../config/version.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { formatAnswer } from './output.ts';

export const command = defineCommand({
  name: 'version',
  summary: 'Version of this program and of what it stands on.',
  usage: '[-o]',
  description: 'Asks nobody: the version of a running agent is in `groundwire status`.',
  examples: ['groundwire version', 'groundwire version -o json'],
  parts: ['output'],
  run: async ({ output }, _words, io) => {
    const version = readVersion();
    const table = (): string => `groundwire ${version.groundwire} (Node ${version.node}, OpenSSL ${version.openssl})`;
    io.print(await formatAnswer(output.format, version, table));
    return EXIT.ok;
  },
});
