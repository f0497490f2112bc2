// SPDX-License-Identifier: Apache-2.0

import { listCommand } from './ask-command.ts';

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  readonly vips: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
  readonly endpoints: Readonly<
    Record<string, { readonly status: string; readonly port: Readonly<Record<string, number>> }>
  >;
  readonly waypoint?: { readonly destination: string };
}

export const command = listCommand<Row>({
  name: 'services',
  summary: 'Services of the mesh and how many of their endpoints are healthy.',
  description:
    'PORTS are service port:target port. A port that is named has the numbers of all its endpoints, and `named` without any.',
  path: '/services',
  empty: 'No services: the control plane has not sent any; see `groundwire status`.',
  columns: [
    { head: 'NAMESPACE', cell: (row) => row.namespace },
    { head: 'NAME', cell: (row) => row.name },
    { head: 'ADDRESS', cell: (row) => row.vips.map((vip) => vip.replace(/^[^/]*\//, '')).join(',') },
    {
      head: 'PORTS',
      cell: formatPorts,
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

/** Each port of a Service with what it leads to. */
export function formatPorts(row: Pick<Row, 'ports' | 'endpoints'>): string {
  return Object.keys(row.ports)
    .map((port) => `${port}:${targetsOf(row, port)}`)
    .join(',');
}

// Only the control plane knows the name of a named one.
function targetsOf({ ports, endpoints }: Pick<Row, 'ports' | 'endpoints'>, port: string): string {
  if (ports[port] !== 0) return String(ports[port]);
  const own = Object.values(endpoints).flatMap((endpoint) => endpoint.port[port] || []);
  return own.length === 0 ? 'named' : [...new Set(own)].sort((a, b) => a - b).join('|');
}
