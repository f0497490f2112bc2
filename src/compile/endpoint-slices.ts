// SPDX-License-Identifier: Apache-2.0

import type { ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { EndpointSliceObject, PodObject, ServiceObject, SliceEndpoint } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import type { CompileSettings } from './settings.ts';
import { type AddedBackend, backendKey, blankWorkload } from './workloads.ts';

/** What the EndpointSlices of Services without a selector come to. */
export interface CompiledSlices {
  /** Endpoints that are no pods, each a workload without identity, policy or locality. */
  readonly workloads: readonly Workload[];
  /** By `namespace/name` of a pod: the Services that a slice adds to it. */
  readonly addedBackends: ReadonlyMap<string, readonly AddedBackend[]>;
  /** `namespace/name` of every pod that was looked for. */
  readonly refersTo: ReadonlySet<string>;
  /** Keys of the Services that have an endpoint of a slice that is ready and stays. */
  readonly ready: ReadonlySet<string>;
}

/**
 * Compiles the EndpointSlices of Services without a selector; all others only repeat what selectors say.
 *
 * Only TCP. A pod is meant when the slice refers to it, by its uid where it names one; an address alone is an address,
 * and whose it is nodes know (mesh/resolve-outbound.ts).
 * Source: istio pilot/pkg/serviceregistry/ambient/workloads.go @86c9f01; recorded resources.
 */
export function compileSlices(objects: ObjectSnapshot, settings: CompileSettings, notices: Notice[]): CompiledSlices {
  const services = new Map(objects.of('Service').map((service) => [keyOf(service), service]));
  const refersTo = new Set<string>();
  const workloads: Workload[] = [];
  const addedBackends = new Map<string, AddedBackend[]>();
  const slices = objects.of('EndpointSlice').flatMap((slice) => {
    const service = services.get(`${slice.meta.namespace}/${slice.serviceName}`);
    const reason = reasonLeftOut(slice, service);
    if (reason !== undefined) noteOnSlice(slice, reason, objects, notices);
    return service === undefined || service.selector.size > 0 || reason !== undefined ? [] : [{ slice, service }];
  });
  const ready = new Set(
    slices.flatMap(({ slice, service }) => (slice.endpoints.some(isReady) ? [backendKey(service, settings)] : [])),
  );
  for (const { slice, service } of slices) {
    const key = backendKey(service, settings);
    const ports = portsOf(slice, service);
    for (const endpoint of slice.endpoints) {
      if (endpoint.terminating && !service.publishNotReadyAddresses && (ready.has(key) || !endpoint.serving)) continue;
      const target = endpoint.targetRef;
      if (target?.kind !== 'Pod') {
        for (const address of endpoint.addresses)
          workloads.push(endpointWorkload(slice, endpoint, address, key, ports, settings));
        continue;
      }
      const namespace = target.namespace || slice.meta.namespace;
      const podKey = `${namespace}/${target.name}`;
      refersTo.add(podKey);
      if (isMeant(objects.find('Pod', namespace, target.name), target.uid, endpoint)) {
        const added = addedBackends.get(podKey) ?? [];
        addedBackends.set(podKey, [...added, { key, ports, hostname: endpoint.hostname }]);
      } else {
        const message = `the endpoint that refers to pod ${target.name} is left out: there is no such pod, or it has another uid or address`;
        noteOnSlice(slice, message, objects, notices);
      }
    }
  }
  return { workloads, addedBackends, ready, refersTo };
}

function keyOf({ meta }: ServiceObject): string {
  return `${meta.namespace}/${meta.name}`;
}

// A slice that is written by hand seldom knows the uid; then the address has to be that of the pod it names.
function isMeant(pod: PodObject | undefined, uid: string, { addresses }: SliceEndpoint): boolean {
  if (pod === undefined) return false;
  return uid === '' ? addresses.some((address) => pod.addresses.includes(address)) : uid === pod.meta.uid;
}

function isReady({ ready, terminating }: SliceEndpoint): boolean {
  return ready && !terminating;
}

function reasonLeftOut(slice: EndpointSliceObject, service: ServiceObject | undefined): string | undefined {
  if (slice.managed) return undefined;
  const label = 'kubernetes.io/service-name';
  if (slice.serviceName === '') return `no label ${label} says of which Service it is; it is left out`;
  if (service === undefined) return `there is no Service ${slice.meta.namespace}/${slice.serviceName}; it is left out`;
  if (service.type === 'ExternalName') return `Service ${slice.serviceName} is an ExternalName; the slice is left out`;
  if (service.selector.size > 0)
    return `Service ${slice.serviceName} has a selector, and so the pods that it selects as endpoints; the slice is left out`;
  return undefined;
}

function noteOnSlice(slice: EndpointSliceObject, message: string, objects: ObjectSnapshot, notices: Notice[]): void {
  const text = `${message} (${objects.placeOf(slice)})`;
  notices.push({ code: 'ENDPOINT_DROPPED', object: objectKey('EndpointSlice', slice.meta), message: text });
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
  const isName = slice.addressType === 'FQDN';
  return {
    ...blankWorkload(settings),
    uid: `${settings.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`,
    name,
    namespace,
    addresses: isName ? [] : [address],
    hostname: isName ? address : '',
    workloadType: 'DEPLOYMENT',
    services: new Map([[key, ports]]),
    status: endpoint.ready || (endpoint.terminating && endpoint.serving) ? 'HEALTHY' : 'UNHEALTHY',
    // Nothing is known of what is behind the address, so no identity is ever expected of it.
    networkMode: 'HOST_NETWORK',
    ...(endpoint.hostname !== '' && { hostnames: new Map([[key, endpoint.hostname]]) }),
  };
}
