// SPDX-License-Identifier: Apache-2.0

import { HBONE_PORT } from '../model/route.ts';
import type { GatewayAddress } from '../model/service.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import { type GatewayObject, type MeshObject, selects } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import { WAYPOINT_CLASS } from '../objects/read-gateway.ts';
import type { CompileSettings } from './settings.ts';

const USE = 'istio.io/use-waypoint';
const USE_NAMESPACE = 'istio.io/use-waypoint-namespace';

/** A waypoint serves Services (and ServiceEntries) or workloads, or both. */
export type TrafficType = 'service' | 'workload';

/** All that decides which waypoint an object has, so that one answer serves whoever asks alike. */
export interface WaypointQuestion {
  readonly namespace: string;
  /** The object's own labels. */
  readonly own: string | undefined;
  readonly ownNamespace: string | undefined;
  readonly traffic: TrafficType;
}

export interface WaypointFinding {
  readonly address: GatewayAddress | undefined;
  /** Why it is not what was asked for; to be told of the object. */
  readonly refusal: string | undefined;
}

const NO_WAYPOINT: WaypointFinding = { address: undefined, refusal: undefined };

export type FindWaypoint = (object: MeshObject, traffic: TrafficType) => GatewayAddress | undefined;

/** Looks waypoints up by what `find` answers, and tells of objects that do not get the one they want. */
export function waypointLookup(find: Waypoints['find'], notices: Notice[]): FindWaypoint {
  return (object, traffic) => {
    if (isWaypointItself(object)) return undefined;
    const { labels, namespace } = object.meta;
    const question = { namespace, own: labels.get(USE), ownNamespace: labels.get(USE_NAMESPACE), traffic };
    const { address, refusal } = find(question);
    if (refusal !== undefined)
      notices.push({ code: 'WAYPOINT_UNUSABLE', object: objectKey(object.kind, object.meta), message: refusal });
    return address;
  };
}

/**
 * Finds the waypoint of an object: by its own label, else by its namespace's. `none` opts out.
 *
 * A label that names a Gateway which is missing, not ready or not open to the namespace still yields the address where
 * that waypoint would be, so that connections are refused until it is there: Istio lets them past the policy instead.
 * Source: istio pilot/pkg/serviceregistry/ambient/waypoints.go @86c9f01; deviation: docs/adr/0011.
 */
export class Waypoints {
  readonly #settings: CompileSettings;
  readonly #gateways = new Map<string, GatewayObject>();
  readonly #namespaceLabels = new Map<string, ReadonlyMap<string, string>>();

  constructor(objects: ObjectSnapshot, settings: CompileSettings) {
    this.#settings = settings;
    for (const gateway of objects.of('Gateway')) {
      if (gateway.className === WAYPOINT_CLASS)
        this.#gateways.set(`${gateway.meta.namespace}/${gateway.meta.name}`, gateway);
    }
    for (const { meta } of objects.of('Namespace')) this.#namespaceLabels.set(meta.name, meta.labels);
  }

  find({ namespace, own, ownNamespace, traffic }: WaypointQuestion): WaypointFinding {
    const ofNamespace = this.#namespaceLabels.get(namespace);
    const name = own ?? ofNamespace?.get(USE);
    if (name === undefined || name === '' || name === 'none') return NO_WAYPOINT;
    const waypointNamespace = (own === undefined ? ofNamespace?.get(USE_NAMESPACE) : ownNamespace) ?? namespace;
    const gateway = this.#gateways.get(`${waypointNamespace}/${name}`);
    if (gateway !== undefined && gateway.waypointFor !== 'all' && gateway.waypointFor !== traffic) {
      if (own === undefined) return NO_WAYPOINT;
      const refusal = `waypoint ${waypointNamespace}/${name} does not serve ${traffic} traffic, so none is used`;
      return { address: undefined, refusal };
    }
    const hostname = `${name}.${waypointNamespace}.svc.${this.#settings.clusterDomain}`;
    const expected = { kind: 'hostname', namespace: waypointNamespace, hostname } as const;
    const reason = this.#reasonUnusable(gateway, namespace);
    if (reason !== undefined) {
      const refusal = `waypoint ${waypointNamespace}/${name} ${reason}: connections are refused until it is usable`;
      // No Service answers to this name: what asks for it finds no waypoint and refuses, even if the Gateway has pods.
      const destination = { ...expected, hostname: `unusable.${hostname}` };
      return { address: { destination, hboneMtlsPort: HBONE_PORT }, refusal };
    }
    const destination = this.#destination(gateway, waypointNamespace) ?? expected;
    return { address: { destination, hboneMtlsPort: HBONE_PORT }, refusal: undefined };
  }

  #destination(gateway: GatewayObject | undefined, namespace: string): GatewayAddress['destination'] | undefined {
    const address = gateway?.addresses.find(({ type }) => type === 'Hostname') ?? gateway?.addresses[0];
    if (address === undefined) return undefined;
    if (address.type === 'Hostname') return { kind: 'hostname', namespace, hostname: address.value };
    return { kind: 'address', network: this.#settings.network, address: address.value };
  }

  #reasonUnusable(gateway: GatewayObject | undefined, namespace: string): string | undefined {
    if (gateway === undefined) return 'does not exist';
    if (gateway.addresses.length === 0) return 'is not ready';
    const listener = gateway.hboneListeners.find(({ port }) => port === HBONE_PORT);
    if (listener === undefined) return `has no HBONE listener on port ${HBONE_PORT}`;
    const admitted =
      listener.from === 'All' ||
      (listener.from === 'Same' && gateway.meta.namespace === namespace) ||
      (listener.from === 'Selector' && selects(listener.selector, this.#namespaceLabels.get(namespace) ?? new Map()));
    return admitted ? undefined : `does not admit namespace ${namespace} (allowedRoutes)`;
  }
}

// A generated waypoint carries the first label on its Service and pods, every waypoint pod the second.
function isWaypointItself({ kind, meta }: MeshObject): boolean {
  return (
    meta.labels.has('gateway.istio.io/managed') ||
    (kind === 'Pod' && meta.labels.has('gateway.networking.k8s.io/gateway-name'))
  );
}
