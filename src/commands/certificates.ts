// SPDX-License-Identifier: Apache-2.0

import { systemClock } from '../model/clock.ts';
import { listCommand } from './ask-command.ts';
import { formatAge } from './output.ts';

interface Row {
  readonly identity: string;
  readonly state: string;
  readonly error?: string;
  readonly certChain: readonly { readonly serialNumber: string; readonly expirationTime: string }[];
}

export const command = listCommand<Row>({
  name: 'certificates',
  summary: 'Certificates that an agent holds, without keys.',
  description: 'An agent holds one for each identity that has a pod on its node and renews it at half of its life.',
  path: '/certificates',
  empty: 'No certificates: no pod of the mesh runs on this node.',
  columns: [
    { head: 'IDENTITY', cell: (row) => row.identity },
    { head: 'STATE', cell: (row) => row.state },
    {
      head: 'EXPIRES IN',
      cell: (row) =>
        row.certChain[0] === undefined ? '' : formatAge(row.certChain[0].expirationTime, systemClock.nowMs()),
    },
    { head: 'SERIAL', cell: (row) => row.certChain[0]?.serialNumber ?? '' },
    { head: 'PROBLEM', cell: (row) => row.error ?? '' },
  ],
  examples: ['groundwire certificates', 'groundwire certificates --node a -o yaml'],
});
