// SPDX-License-Identifier: Apache-2.0

import type { StatusFacts } from '../api/facts.ts';
import { systemClock } from '../model/clock.ts';
import { KERNEL_COUNTERS } from '../telemetry/engine-counters.ts';
import { AgentClient } from './agent-client.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { formatAge, formatAnswer, formatBytes, renderTable } from './output.ts';

export const command = defineCommand({
  name: 'status',
  summary: 'How an agent is doing: its node, control plane, pods and tunnels.',
  usage: '[--node] [-o]',
  description: 'Ends with status 0 when the agent is ready, 1 when it answers and is not.',
  examples: ['groundwire status', 'groundwire status --node a', 'groundwire status -o json | jq .counters'],
  parts: ['target', 'output'],
  run: async ({ target, output }, _words, io) => {
    const agent = await AgentClient.find(target);
    const status = (await agent.ask('GET', '/status')) as StatusFacts;
    io.print(await formatAnswer(output.format, status, () => renderStatus(status, systemClock.nowMs())));
    return status.ready ? EXIT.ok : EXIT.failed;
  },
});

// How old the configuration is, once it may be.
function renderSync({ state, lastSyncTime }: StatusFacts['controlPlane'], nowMs: number): string {
  if (state === 'connected') return '';
  if (lastSyncTime === undefined) return ' (not in sync since the start)';
  return ` (last in sync ${formatAge(lastSyncTime, nowMs)} ago)`;
}

// Of these a program learns only EPERM, or nothing, and no log tells: the kernel refuses before the agent hears of it. Not
// of `connect_refused_family`, which every client meets that tries IPv6 first.
const REFUSED = [
  'connect_refused_device',
  'connect_refused_link_local',
  'connect_refused_mark_failed',
  'guard_dropped_socket',
  'guard_dropped_raw',
  'guard_dropped_forwarded',
  'guard_dropped_unreadable',
] as const satisfies readonly (keyof typeof KERNEL_COUNTERS)[];

function renderRefused(counters: StatusFacts['counters']): readonly string[] {
  const refused = REFUSED.filter((name) => (counters[name] ?? 0) > 0);
  if (refused.length === 0) return [];
  const lines = refused.map((name) => `  - ${counters[name]} ${name}: ${KERNEL_COUNTERS[name].join('; ')}`);
  return ['', 'Refused or dropped by the kernel, of all pods:', ...lines];
}

/** The status for people. */
export function renderStatus(status: StatusFacts, nowMs: number): string {
  const { node, controlPlane, mesh } = status;
  const head: readonly (readonly [string, string])[] = [
    ['node', `${node.name} (${node.addresses.join(', ')})`],
    [
      'machine',
      `${node.distribution}, Linux ${node.kernel}, ${node.cores} cores, ${formatBytes(node.memoryAvailableBytes)} of ${formatBytes(node.memoryTotalBytes)} free`,
    ],
    [
      'agent',
      `groundwire ${status.version.groundwire}, ${status.ready ? 'ready' : `not ready (${status.pending.join(', ')})`}, up ${formatAge(status.startedTime, nowMs)}, ${formatBytes(node.agentResidentBytes)} resident`,
    ],
    [
      'control plane',
      `${controlPlane.address} ${controlPlane.state}${controlPlane.problem === undefined ? '' : `: ${controlPlane.problem}`}${renderSync(controlPlane, nowMs)}${controlPlane.fromCache ? ' (working from the last good configuration on disk)' : ''}`,
    ],
    [
      'mesh',
      `${mesh.trustDomain}, ${mesh.workloads} workloads, ${mesh.services} services, ${mesh.policies} policies${mesh.rejectedTotal === 0 ? '' : `, ${mesh.rejectedTotal} rejected`}`,
    ],
    ['traffic', `${status.connections} live connections, ${status.tunnels.length} tunnels`],
  ];
  const width = Math.max(...head.map(([name]) => name.length)) + 2;
  const pods = renderTable(
    status.pods,
    [
      { head: 'POD', cell: (pod) => `${pod.namespace}/${pod.name}` },
      { head: 'ADDRESS', cell: (pod) => pod.addresses.join(',') },
      { head: 'STATE', cell: (pod) => pod.state },
      {
        head: 'OLD CONNECTIONS',
        cell: (pod) =>
          pod.oldConnections.count === 0
            ? ''
            : `${pod.oldConnections.count} ${pod.oldConnections.closed ? 'closed' : 'not covered by policy'}`,
      },
      { head: 'WHY', cell: (pod) => pod.problem ?? [pod.reason, ...pod.deferred, ...pod.notices].join('; ') },
    ],
    'No pods on this node; start one with `groundwire run`.',
  );
  return [
    ...head.map(([name, value]) => `${`${name}:`.padEnd(width)}${value}`),
    '',
    pods,
    ...renderRefused(status.counters),
    ...(status.problems.length === 0 ? [] : ['', 'Problems:', ...status.problems.map((problem) => `  - ${problem}`)]),
  ].join('\n');
}
