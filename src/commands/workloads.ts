// SPDX-License-Identifier: Apache-2.0

import { listCommand } from './ask-command.ts';

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly workloadIps: readonly string[];
  readonly node?: string;
  readonly serviceAccount: string;
  readonly protocol: string;
  readonly status: string;
  readonly waypoint?: { readonly destination: string };
}

export const command = listCommand<Row>({
  name: 'workloads',
  summary: 'Pods and machines of the mesh, as an agent knows them.',
  description: 'PROTOCOL says how others reach it: HBONE through the mesh, TCP in plaintext.',
  path: '/workloads',
  empty: 'No workloads: the control plane has not sent any; see `groundwire status`.',
  columns: [
    { head: 'NAMESPACE', cell: (row) => row.namespace },
    { head: 'NAME', cell: (row) => row.name },
    { head: 'ADDRESS', cell: (row) => row.workloadIps.join(',') },
    { head: 'NODE', cell: (row) => row.node ?? '' },
    { head: 'SERVICE ACCOUNT', cell: (row) => row.serviceAccount },
    { head: 'PROTOCOL', cell: (row) => row.protocol },
    { head: 'STATUS', cell: (row) => row.status },
    { head: 'WAYPOINT', cell: (row) => row.waypoint?.destination ?? '' },
  ],
  examples: ['groundwire workloads', 'groundwire workloads --node a -o json'],
});
