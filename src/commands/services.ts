// SPDX-License-Identifier: Apache-2.0

import { listCommand } from './ask-command.ts';

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  readonly vips: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
  readonly endpoints: Readonly<Record<string, { readonly status: string }>>;
  readonly waypoint?: { readonly destination: string };
}

export const command = listCommand<Row>({
  name: 'services',
  summary: 'Services of the mesh and how many of their endpoints are healthy.',
  description: 'PORTS are service port:target port; 0 is a named port that each endpoint resolves for itself.',
  path: '/services',
  empty: 'No services: the control plane has not sent any; see `groundwire status`.',
  columns: [
    { head: 'NAMESPACE', cell: (row) => row.namespace },
    { head: 'NAME', cell: (row) => row.name },
    { head: 'ADDRESS', cell: (row) => row.vips.map((vip) => vip.replace(/^[^/]*\//, '')).join(',') },
    {
      head: 'PORTS',
      cell: (row) =>
        Object.entries(row.ports)
          .map(([port, target]) => `${port}:${target}`)
          .join(','),
    },
    {
      head: 'ENDPOINTS',
      cell: (row) => {
        const endpoints = Object.values(row.endpoints);
        return `${endpoints.filter((one) => one.status === 'Healthy').length}/${endpoints.length}`;
      },
    },
    { head: 'WAYPOINT', cell: (row) => row.waypoint?.destination ?? '' },
    { head: 'HOSTNAME', cell: (row) => row.hostname },
  ],
  examples: ['groundwire services', 'groundwire services -o yaml'],
});
