// SPDX-License-Identifier: Apache-2.0
//
// npm start             two nodes, a shop, the tour, and then the mesh stays up to be played with; Ctrl-C cleans up
// npm start -- --once   the same tour without a keyboard: a line a check, exit status 0 only if every check held

import { parseArgs } from 'node:util';
import { claimMachine } from '../harness/claim.ts';
import { errorText } from '../model/error-text.ts';
import { takeTour } from './guide.ts';
import { stayUp } from './stay-up.ts';

const USAGE = `npm start             the tour; the mesh stays up afterwards, Ctrl-C cleans up
npm start -- --once   the tour alone; exit status 0 only if every check held
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { once: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write(
      'The tour makes network namespaces and loads eBPF programs: run it as root (sudo npm start).\n',
    );
    return 77;
  }
  const claim = await claimMachine('tour');
  try {
    return await takeTour(values.once ? undefined : stayUp);
  } finally {
    claim.release();
  }
}

// A terminal may close in the middle: nobody reads what is said then, and the clean-up goes to its end all the same.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${errorText(error)}\n`);
  return 1;
});
