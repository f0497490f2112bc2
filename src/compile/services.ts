// SPDX-License-Identifier: Apache-2.0

import type {
  GatewayAddress,
  IpFamilies,
  LoadBalancing,
  NetworkAddress,
  Service,
  ServicePort,
} from '../model/service.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { MeshObject, ServiceEntryObject, ServiceObject, ServiceObjectPort } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import { entryRange } from '../objects/read-service-entry.ts';
import { AddressAllocator } from './service-addresses.ts';
import type { CompileSettings } from './settings.ts';
import type { TrafficType } from './waypoints.ts';

const DISTRIBUTION = 'networking.istio.io/traffic-distribution';

type FindWaypoint = (object: MeshObject, traffic: TrafficType) => GatewayAddress | undefined;

/** The host name of a Service inside the mesh. */
export function serviceHostname(namespace: string, name: string, clusterDomain: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/**
 * Compiles Services, and one Service a host of each ServiceEntry.
 *
 * Where a ServiceEntry names a host that its namespace already has, the Kubernetes Service wins, then the oldest.
 * Source: istio pilot/pkg/serviceregistry/ambient/services.go @86c9f01; recorded resources.
 */
export function compileServices(
  objects: ObjectSnapshot,
  settings: CompileSettings,
  findWaypoint: FindWaypoint,
  notices: Notice[],
): Map<string, Service> {
  const services = new Map<string, Service>();
  const namespaces = new Map(objects.of('Namespace').map(({ meta }) => [meta.name, meta]));
  const allocate = addressSources(objects, settings, notices);
  for (const object of objects.of('Service')) {
    // An ExternalName is a matter of DNS: what it points at is captured as that.
    if (object.type === 'ExternalName') continue;
    const { name, namespace } = object.meta;
    const hostname = serviceHostname(namespace, name, settings.clusterDomain);
    const waypoint = findWaypoint(object, 'service');
    const loadBalancing = loadBalancingOf(object, namespaces.get(namespace)?.annotations.get(DISTRIBUTION));
    services.set(`${namespace}/${hostname}`, {
      name,
      namespace,
      hostname,
      addresses: allocate.service(object).map((address) => ({ network: settings.network, address })),
      ports: compilePorts(object.ports),
      subjectAltNames: [],
      ...(waypoint && { waypoint }),
      ...(loadBalancing && { loadBalancing }),
      ipFamilies: ipFamiliesOf(object.ipFamilies),
      canonical: true,
      ingressUseWaypoint: object.meta.labels.get('istio.io/ingress-use-waypoint') === 'true',
      visibility: 'PUBLIC',
    });
  }
  for (const object of [...objects.of('ServiceEntry')].sort((a, b) => a.meta.createdMs - b.meta.createdMs)) {
    for (const service of compileServiceEntry(object, settings, findWaypoint, allocate)) {
      const key = `${service.namespace}/${service.hostname}`;
      if (!services.has(key)) services.set(key, service);
      else {
        const message = `host ${service.hostname} is already served in ${service.namespace}; that one stays`;
        notices.push({ code: 'HOSTNAME_TAKEN', object: objectKey('ServiceEntry', object.meta), message });
      }
    }
  }
  return services;
}

function compilePorts(ports: readonly ServiceObjectPort[]): ServicePort[] {
  return ports.map(({ port, targetPort, appProtocol }) => ({
    servicePort: port,
    targetPort: typeof targetPort === 'number' ? targetPort : 0,
    appProtocol,
  }));
}

function ipFamiliesOf(families: ServiceObject['ipFamilies']): IpFamilies {
  if (families.length === 2) return 'DUAL';
  if (families[0] === 'IPv4') return 'IPV4_ONLY';
  return families[0] === 'IPv6' ? 'IPV6_ONLY' : 'AUTOMATIC';
}

function loadBalancingOf(object: ServiceObject, ofNamespace: string | undefined): LoadBalancing | undefined {
  const healthPolicy = object.publishNotReadyAddresses ? 'ALLOW_ALL' : 'ONLY_HEALTHY';
  if (object.internalTrafficLocal) return { routingPreference: ['NODE'], mode: 'STRICT', healthPolicy };
  const words = [object.trafficDistribution, object.meta.annotations.get(DISTRIBUTION), ofNamespace];
  switch ((words.find((word) => word !== undefined && word !== '') ?? '').toLowerCase()) {
    case 'prefersamezone':
    case 'preferclose':
      return { routingPreference: ['NETWORK', 'REGION', 'ZONE'], mode: 'FAILOVER', healthPolicy };
    case 'prefersamenode':
      return { routingPreference: ['NETWORK', 'REGION', 'ZONE', 'SUBZONE', 'NODE'], mode: 'FAILOVER', healthPolicy };
    default:
      if (healthPolicy === 'ONLY_HEALTHY') return undefined;
      return { routingPreference: [], mode: 'UNSPECIFIED_MODE', healthPolicy };
  }
}

function compileServiceEntry(
  object: ServiceEntryObject,
  settings: CompileSettings,
  findWaypoint: FindWaypoint,
  allocate: AddressSources,
): Service[] {
  const { name, namespace } = object.meta;
  if (object.exportTo.includes('~')) return [];
  const waypoint = findWaypoint(object, 'service');
  const passthrough = object.resolution === 'NONE';
  return object.hosts.map((hostname) => ({
    name,
    namespace,
    hostname,
    addresses: allocate.entry(object, hostname).map((address) => ({ ...address, network: settings.network })),
    ports: compilePorts(object.ports),
    subjectAltNames: object.subjectAltNames,
    ...(waypoint && { waypoint }),
    ...(passthrough && {
      loadBalancing: { routingPreference: [], mode: 'PASSTHROUGH', healthPolicy: 'ALLOW_ALL' } as const,
    }),
    ipFamilies: 'AUTOMATIC',
    canonical: true,
    ingressUseWaypoint: object.meta.labels.get('istio.io/ingress-use-waypoint') === 'true',
    visibility: object.exportTo.length === 1 && object.exportTo[0] === '.' ? 'NAMESPACE' : 'PUBLIC',
  }));
}

interface AddressSources {
  service(object: ServiceObject): readonly string[];
  entry(object: ServiceEntryObject, host: string): readonly NetworkAddress[];
}

/** Addresses as the objects give them, else from the ranges that are ours to give. */
function addressSources(objects: ObjectSnapshot, settings: CompileSettings, notices: Notice[]): AddressSources {
  const taken = new Set<string>(objects.of('Service').flatMap(({ clusterIps }) => clusterIps));
  for (const entry of objects.of('ServiceEntry')) for (const { address } of entry.assigned) taken.add(address);
  const ofServices = new AddressAllocator(settings.serviceRange, taken);
  const ofEntries = new AddressAllocator(settings.serviceEntryRange, taken);
  const give = (allocator: AddressAllocator, name: string, object: MeshObject): string[] => {
    const address = allocator.allocate(name);
    if (address !== undefined) return [address];
    const message = 'no address is left in the range for it; it can be reached by name of its pods only';
    notices.push({ code: 'ADDRESS_EXHAUSTED', object: objectKey(object.kind, object.meta), message });
    return [];
  };
  return {
    service: (object) => {
      if (object.headless || object.clusterIps.length > 0) return object.clusterIps;
      return give(ofServices, `${object.meta.namespace}/${object.meta.name}`, object);
    },
    entry: (object, host) => {
      if (object.addresses.length > 0) return object.addresses.flatMap(toNetworkAddress);
      const assigned = object.assigned.filter((item) => item.host === host && item.address !== '');
      if (assigned.length > 0) return assigned.map(({ address }) => ({ network: '', address }));
      if (object.resolution === 'NONE' || (host.startsWith('*') && object.resolution !== 'DYNAMIC_DNS')) return [];
      return give(ofEntries, `${object.meta.namespace}/${host}`, object).map((address) => ({ network: '', address }));
    },
  };
}

function toNetworkAddress(text: string): NetworkAddress[] {
  const range = entryRange(text);
  if (range === undefined) return [];
  const { address, prefixLength } = range;
  return [text.includes('/') ? { network: '', address, prefixLength } : { network: '', address }];
}
