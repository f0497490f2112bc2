// SPDX-License-Identifier: Apache-2.0

import type { ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { EndpointSliceObject, ServiceObject, SliceEndpoint } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import type { CompileSettings } from './settings.ts';
import { backendKey, blankWorkload } from './workloads.ts';

/** What the EndpointSlices of Services without a selector come to. */
export interface CompiledSlices {
  /** Endpoints that are no pods, each a workload without identity, policy or locality. */
  readonly workloads: readonly Workload[];
  /** By pod uid: the Services that a slice adds to that pod. */
  readonly addedBackends: ReadonlyMap<string, readonly (readonly [string, readonly ServicePort[]])[]>;
}

/**
 * Compiles the EndpointSlices of Services without a selector; all others only repeat what selectors say.
 *
 * Only TCP and only addresses; a pod is meant when its uid is the one that the slice names.
 * Source: istio pilot/pkg/serviceregistry/ambient/workloads.go @86c9f01; recorded resources.
 */
export function compileSlices(objects: ObjectSnapshot, settings: CompileSettings, notices: Notice[]): CompiledSlices {
  const selectorless = new Map<string, ServiceObject>();
  for (const service of objects.of('Service')) {
    if (service.selector.size === 0 && service.type !== 'ExternalName') {
      selectorless.set(`${service.meta.namespace}/${service.meta.name}`, service);
    }
  }
  const pods = new Map(objects.of('Pod').map(({ meta }) => [`${meta.namespace}/${meta.name}`, meta.uid]));
  const workloads: Workload[] = [];
  const addedBackends = new Map<string, (readonly [string, readonly ServicePort[]])[]>();
  for (const slice of objects.of('EndpointSlice')) {
    const service = selectorless.get(`${slice.meta.namespace}/${slice.serviceName}`);
    if (service === undefined || slice.addressType === 'FQDN') continue;
    const key = backendKey(service, settings);
    const ports = portsOf(slice, service);
    for (const endpoint of slice.endpoints) {
      const target = endpoint.targetRef;
      if (target?.kind !== 'Pod') {
        workloads.push(
          ...endpoint.addresses.map((address) => endpointWorkload(slice, endpoint, address, key, ports, settings)),
        );
        continue;
      }
      const uid = pods.get(`${target.namespace || slice.meta.namespace}/${target.name}`);
      if (uid !== undefined && uid !== '' && uid === target.uid) {
        addedBackends.set(uid, [...(addedBackends.get(uid) ?? []), [key, ports]]);
      } else {
        const message = `the endpoint that refers to pod ${target.name} is left out: its uid is not that of a known pod`;
        notices.push({ code: 'ENDPOINT_DROPPED', object: objectKey('EndpointSlice', slice.meta), message });
      }
    }
  }
  return { workloads, addedBackends };
}

function portsOf(slice: EndpointSliceObject, service: ServiceObject): ServicePort[] {
  return service.ports.flatMap((port) => {
    const target = slice.ports.find(({ name, protocol }) => name === port.name && protocol === 'TCP');
    if (target === undefined || port.protocol !== 'TCP') return [];
    return [{ servicePort: port.port, targetPort: target.port, appProtocol: 'UNKNOWN' as const }];
  });
}

function endpointWorkload(
  slice: EndpointSliceObject,
  endpoint: SliceEndpoint,
  address: string,
  key: string,
  ports: readonly ServicePort[],
  settings: CompileSettings,
): Workload {
  const { name, namespace } = slice.meta;
  return {
    ...blankWorkload(settings),
    uid: `${settings.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`,
    name,
    namespace,
    addresses: [address],
    workloadType: 'DEPLOYMENT',
    services: new Map([[key, ports]]),
    status: endpoint.ready ? 'HEALTHY' : 'UNHEALTHY',
    // Nothing is known of what is behind the address, so no identity is ever expected of it.
    networkMode: 'HOST_NETWORK',
  };
}
