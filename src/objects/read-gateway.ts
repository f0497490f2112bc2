// SPDX-License-Identifier: Apache-2.0

import { parseAddress } from '../model/address.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { ObjectReader } from './object-reader.ts';
import type { GatewayObject, WaypointFor } from './objects.ts';
import { shown } from './problem.ts';

/** The only class of Gateways that is served. */
export const WAYPOINT_CLASS = 'istio-waypoint';

const WAYPOINT_FOR: readonly WaypointFor[] = ['service', 'workload', 'all', 'none'];

/** Reads the parts of a Gateway that say whether and for whom it is a waypoint. */
export function readGateway(object: ObjectReader, meta: ObjectMeta): GatewayObject {
  const spec = object.requiredObject('spec');
  const label = meta.labels.get('istio.io/waypoint-for');
  const className = spec.requiredString('gatewayClassName');
  if (className !== WAYPOINT_CLASS)
    spec.note(
      'gatewayClassName',
      'KIND_SKIPPED',
      `a Gateway of class ${shown(className)} is left out; ${WAYPOINT_CLASS} is served`,
    );
  const addresses = object.object('status')?.objects('addresses') ?? [];
  return {
    kind: 'Gateway',
    meta,
    className,
    waypointFor: WAYPOINT_FOR.find((value) => value === label) ?? 'service',
    hboneListeners: spec
      .objects('listeners')
      .filter((listener) => listener.string('protocol') === 'HBONE')
      .map((listener) => {
        const namespaces = listener.object('allowedRoutes')?.object('namespaces');
        return {
          port: listener.port('port') ?? 0,
          from: namespaces?.oneOf('from', ['Same', 'All', 'Selector', 'None']) ?? 'Same',
          selector: namespaces?.object('selector')?.stringMap('matchLabels') ?? new Map(),
        };
      }),
    addresses: addresses.map((item) => {
      const value = item.requiredString('value');
      return { type: parseAddress(value) === undefined ? ('Hostname' as const) : ('IPAddress' as const), value };
    }),
  };
}
