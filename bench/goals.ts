// SPDX-License-Identifier: Apache-2.0

import { type Cell, formatFigure } from './results.ts';

/** Rows of the table, by the names used in it. */
export const CHANGE_ROWS = { small: '1,000 workloads', large: '100,000 workloads' } as const;

export const ROWS = {
  raw: 'raw TCP',
  acrossNodes: 'groundwire, across nodes',
  sameNode: 'groundwire, same node',
  haproxy: 'haproxy pair',
  nginx: 'nginx stream pair',
  idle: 'groundwire, 10,000 idle connections',
  waitingAgent: 'groundwire agent, one pod',
  waitingNginx: 'nginx stream',
  waitingEnvoy: 'Envoy',
} as const;

/** A ratio that the project wants to keep. Printed as met or short; never an exit status, since machines differ. */
interface Goal {
  readonly name: string;
  readonly ours: readonly [row: string, column: string];
  /** The best of these is what ours is divided by; absent: `bound` is absolute. */
  readonly theirs?: readonly (readonly [row: string, column: string])[];
  readonly best: 'most' | 'least';
  readonly wanted: 'at least' | 'at most';
  readonly bound: number;
}

const peers = (column: string) =>
  [
    [ROWS.haproxy, column],
    [ROWS.nginx, column],
  ] as const;

const GOALS: readonly Goal[] = [
  ...['throughput, 1 stream', 'throughput, 16 streams'].map(
    (column): Goal => ({
      name: `${column}, across nodes / better peer`,
      ours: [ROWS.acrossNodes, column],
      theirs: peers(column),
      best: 'most',
      wanted: 'at least',
      bound: 0.85,
    }),
  ),
  ...['latency p50', 'latency p99'].map(
    (column): Goal => ({
      name: `${column}, across nodes / better peer`,
      ours: [ROWS.acrossNodes, column],
      theirs: peers(column),
      best: 'least',
      wanted: 'at most',
      bound: 1.1,
    }),
  ),
  {
    name: 'new connections, across nodes / better peer',
    ours: [ROWS.acrossNodes, 'new connections'],
    theirs: peers('new connections'),
    best: 'most',
    wanted: 'at least',
    bound: 4,
  },
  ...['throughput, 1 stream', 'throughput, 16 streams'].map(
    (column): Goal => ({
      name: `${column}, same node / across nodes`,
      ours: [ROWS.sameNode, column],
      theirs: [[ROWS.acrossNodes, column]],
      best: 'most',
      wanted: 'at least',
      bound: 1.5,
    }),
  ),
  {
    name: 'latency p50, same node / across nodes',
    ours: [ROWS.sameNode, 'latency p50'],
    theirs: [[ROWS.acrossNodes, 'latency p50']],
    best: 'least',
    wanted: 'at most',
    bound: 0.5,
  },
  {
    name: 'resident memory a connection, KiB',
    ours: [ROWS.idle, 'memory a connection'],
    best: 'least',
    wanted: 'at most',
    bound: 8,
  },
  {
    name: 'resident memory of a waiting agent, MiB',
    ours: [ROWS.waitingAgent, 'resident memory'],
    best: 'least',
    wanted: 'at most',
    bound: 75,
  },
  {
    name: 'start of an agent until it is ready, s',
    ours: [ROWS.waitingAgent, 'start'],
    best: 'least',
    wanted: 'at most',
    bound: 1,
  },
  {
    name: 'idle connections, answering / opened',
    ours: [ROWS.idle, 'answering'],
    theirs: [[ROWS.idle, 'opened']],
    best: 'most',
    wanted: 'at least',
    bound: 1,
  },
  ...['control plane', 'agent'].flatMap((column): Goal[] => [
    {
      name: `main thread for one change among 100,000 workloads, ${column}, ms`,
      ours: [CHANGE_ROWS.large, column],
      best: 'least',
      wanted: 'at most',
      bound: 5,
    },
    {
      name: `main thread for one change, ${column}, 100,000 workloads / 1,000`,
      ours: [CHANGE_ROWS.large, column],
      theirs: [[CHANGE_ROWS.small, column]],
      best: 'least',
      wanted: 'at most',
      bound: 3,
    },
  ]),
];

/** One line a goal: its figure, what is wanted, and `met` or `short`; goals whose rows were not measured are left out. */
export function formatGoals(cells: readonly Cell[]): string[] {
  const find = ([row, column]: readonly [string, string]) =>
    cells.find((cell) => cell.row === row && cell.column === column)?.median;
  return GOALS.flatMap((goal) => {
    const ours = find(goal.ours);
    const theirs = goal.theirs?.map(find).filter((value) => value !== undefined);
    if (ours === undefined || theirs?.length === 0) return [];
    const reference = theirs === undefined ? 1 : goal.best === 'most' ? Math.max(...theirs) : Math.min(...theirs);
    const figure = ours / reference;
    const met = goal.wanted === 'at least' ? figure >= goal.bound : figure <= goal.bound;
    return [
      `${met ? 'met  ' : 'short'}  ${goal.name}: ${formatFigure(figure)} (${goal.wanted} ${formatFigure(goal.bound)})`,
    ];
  });
}
