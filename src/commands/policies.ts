// SPDX-License-Identifier: Apache-2.0

import { listCommand } from './ask-command.ts';

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly scope: string;
  readonly action: string;
  readonly dryRun: boolean;
  readonly rules: readonly unknown[];
}

export const command = listCommand<Row>({
  name: 'policies',
  summary: 'Authorization policies, also those made of PeerAuthentication.',
  description:
    'Policies named converted_peer_authentication_… and istio_converted_static_strict come from PeerAuthentication;\n' +
    'groundwire_unreadable_… stands for an AuthorizationPolicy whose manifest is invalid: it denies all of its scope.',
  path: '/policies',
  empty: 'No policies: everything is allowed.',
  columns: [
    { head: 'NAMESPACE', cell: (row) => row.namespace },
    { head: 'NAME', cell: (row) => row.name },
    { head: 'ACTION', cell: (row) => row.action },
    { head: 'SCOPE', cell: (row) => row.scope },
    { head: 'RULES', cell: (row) => row.rules.length },
    { head: 'DRY RUN', cell: (row) => (row.dryRun ? 'yes' : '') },
  ],
  examples: ['groundwire policies', 'groundwire policies -o json'],
});
