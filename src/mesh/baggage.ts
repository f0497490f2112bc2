// SPDX-License-Identifier: Apache-2.0

import type { Workload } from '../model/workload.ts';

/**
 * The `baggage` header by which one end of an HBONE stream says who it is to the other's telemetry.
 *
 * Empty members are left out. Values are percent-encoded, so that no name can end the header or begin another.
 * Source: ztunnel src/baggage.rs.
 */
export function formatBaggage(workload: Workload): string {
  const members: readonly (readonly [string, string])[] = [
    ['k8s.cluster.name', workload.clusterId],
    ['k8s.namespace.name', workload.namespace],
    [`k8s.${workload.workloadType.toLowerCase()}.name`, workload.workloadName],
    ['service.name', workload.canonicalName],
    ['service.version', workload.canonicalRevision],
    ['cloud.region', workload.locality?.region ?? ''],
    ['cloud.availability_zone', workload.locality?.zone ?? ''],
  ];
  return members
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`)
    .join(',');
}
