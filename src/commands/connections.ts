// SPDX-License-Identifier: Apache-2.0

import type { ConnectionFacts } from '../api/facts.ts';
import { systemClock } from '../model/clock.ts';
import { listCommand } from './ask-command.ts';
import { formatAge, formatBytes } from './output.ts';

export const command = listCommand<ConnectionFacts>({
  name: 'connections',
  summary: 'Live connections of the pods of a node.',
  description:
    'SENT is client to server. HOP: hbone through the tunnel, handoff within the node, passthrough outside the mesh.',
  path: '/connections',
  empty: 'No live connections.',
  columns: [
    { head: 'POD', cell: (row) => row.pod },
    { head: 'DIRECTION', cell: (row) => row.direction },
    { head: 'HOP', cell: (row) => row.hop },
    { head: 'SOURCE', cell: (row) => row.source },
    { head: 'DESTINATION', cell: (row) => row.originalDst },
    { head: 'NEXT HOP', cell: (row) => row.nextHop },
    { head: 'PEER', cell: (row) => (row.direction === 'inbound' ? row.sourceIdentity : row.destinationIdentity) },
    { head: 'SENT', cell: (row) => formatBytes(row.bytesSent) },
    { head: 'RECEIVED', cell: (row) => formatBytes(row.bytesReceived) },
    { head: 'AGE', cell: (row) => formatAge(row.startedTime, systemClock.nowMs()) },
  ],
  examples: ['groundwire connections', 'groundwire connections -o json'],
});
