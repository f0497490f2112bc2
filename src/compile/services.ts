// SPDX-License-Identifier: Apache-2.0

import type { IpFamilies, LoadBalancing, NetworkAddress, Service, ServicePort } from '../model/service.ts';
import { serviceKey } from '../model/service.ts';
import { compareText, objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { IpFamily, MeshObject, ServiceEntryObject, ServiceObject, ServiceObjectPort } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import { entryRange } from '../objects/read-service-entry.ts';
import type { EntryHost, EntryHosts, HostShare } from './entry-hosts.ts';
import { carriedPorts } from './ports.ts';
import { AddressAllocator } from './service-addresses.ts';
import type { CompileSettings } from './settings.ts';
import type { FindWaypoint } from './waypoints.ts';

const DISTRIBUTION = 'networking.istio.io/traffic-distribution';

/** The host name of a Service inside the mesh. */
export function serviceHostname(namespace: string, name: string, clusterDomain: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/**
 * Compiles Services, and one Service a host of each namespace's ServiceEntries.
 *
 * Where an entry names a host that its namespace already has as a Kubernetes Service, the Service wins. What several
 * namespaces declare is told apart by namespace; for all others one of them is canonical: the Kubernetes Service, else
 * the oldest, whichever was there first.
 * Source: istio pilot/pkg/serviceregistry/ambient/services.go @86c9f01; recorded resources.
 */
export function compileServices(
  objects: ObjectSnapshot,
  settings: CompileSettings,
  hosts: EntryHosts,
  findWaypoint: FindWaypoint,
  notices: Notice[],
): Map<string, Service> {
  const services = new Map<string, Service>();
  const claims: Claim[] = [];
  const namespaces = new Map(objects.of('Namespace').map(({ meta }) => [meta.name, meta]));
  const allocate = addressSources(objects, settings, notices);
  const add = (object: MeshObject, service: Service): void => {
    services.set(serviceKey(service), service);
    claims.push({ service, isNative: object.kind === 'Service', createdMs: object.meta.createdMs });
  };
  for (const object of objects.of('Service')) {
    const visibility = visibilityOf(object);
    if (visibility === undefined) continue;
    const { namespace } = object.meta;
    const waypoint = findWaypoint(object, 'service');
    const distribution = namespaces.get(namespace)?.annotations.get(DISTRIBUTION);
    const addresses = allocate.service(object).map((address) => ({ network: settings.network, address }));
    add(object, {
      ...compileService(object, carriedPorts(object, objects, notices), distribution, settings),
      visibility: visibility.visibility,
      addresses,
      ...(waypoint && { waypoint }),
      ...extensionOf(object, visibility),
    });
  }
  for (const host of hosts.values()) {
    const { entry } = host.shares[0] as HostShare;
    const known = services.get(`${host.namespace}/${host.host}`);
    if (known === undefined) {
      const service = compileHost(host, settings, findWaypoint, allocate);
      if (service !== undefined) add(entry, service);
      continue;
    }
    for (const share of host.shares) {
      const message = `host ${host.host} is already served in ${host.namespace}; that one stays`;
      notices.push({ code: 'HOSTNAME_TAKEN', object: objectKey('ServiceEntry', share.entry.meta), message });
    }
  }
  for (const service of demote(claims)) services.set(serviceKey(service), { ...service, canonical: false });
  return services;
}

/** A Service, and what speaks for it where others claim its name or address. */
interface Claim {
  readonly service: Service;
  readonly isNative: boolean;
  readonly createdMs: number;
}

/** Those that one of another namespace outranks: under their host name, or at one of their addresses. */
function demote(claims: readonly Claim[]): Set<Service> {
  const demoted = new Set<Service>();
  const owners = new Map<string, string>();
  const ranked = [...claims].sort(
    (a, b) =>
      Number(b.isNative) - Number(a.isNative) ||
      a.createdMs - b.createdMs ||
      compareText(serviceKey(a.service), serviceKey(b.service)),
  );
  for (const { service } of ranked) {
    const names = [service.hostname, ...service.addresses.map(formatNetworkAddress)];
    const { namespace } = service;
    if (names.some((name) => (owners.get(name) ?? namespace) !== namespace)) demoted.add(service);
    for (const name of names) if (!owners.has(name)) owners.set(name, namespace);
  }
  return demoted;
}

function formatNetworkAddress({ network, address, prefixLength }: NetworkAddress): string {
  return `${network}/${address}/${prefixLength ?? ''}`;
}

function compileService(
  object: ServiceObject,
  ports: readonly ServiceObjectPort[],
  distribution: string | undefined,
  { clusterDomain }: CompileSettings,
): Omit<Service, 'addresses' | 'visibility'> {
  const { name, namespace, labels } = object.meta;
  const loadBalancing = loadBalancingOf(object, distribution);
  return {
    name,
    namespace,
    hostname: serviceHostname(namespace, name, clusterDomain),
    // An ExternalName is a matter of DNS: what it points at is captured as that.
    ports: object.type === 'ExternalName' ? [] : compilePorts(ports),
    subjectAltNames: [],
    ...(loadBalancing && { loadBalancing }),
    ipFamilies: ipFamiliesOf(object),
    canonical: true,
    ingressUseWaypoint: labels.get('istio.io/ingress-use-waypoint') === 'true',
  };
}

/**
 * Who sees it, as Istio's words have it: everybody, its own namespace, or the namespaces that are named; or nobody.
 *
 * Istio's message knows no list: for a stock proxy such a Service is of its own namespace alone.
 */
function visibilityOf({ exportTo, meta }: ServiceObject | ServiceEntryObject): Visibility | undefined {
  if (exportTo.includes('~')) return undefined;
  if (exportTo.length === 0 || exportTo.includes('*')) return { visibility: 'PUBLIC', exportTo: [] };
  const namespaces = [...new Set(exportTo.map((word) => (word === '.' ? meta.namespace : word)))].sort();
  const isOwnOnly = namespaces.length === 1 && namespaces[0] === meta.namespace;
  return { visibility: 'NAMESPACE', exportTo: isOwnOnly ? [] : namespaces };
}

interface Visibility {
  readonly visibility: Service['visibility'];
  readonly exportTo: readonly string[];
}

function extensionOf(object: ServiceObject, { exportTo }: Visibility): Pick<Service, 'extension'> {
  const { externalName, affinityTimeoutSeconds } = object;
  const ports = object.ports.flatMap(({ name, port, protocol }) =>
    name === '' ? [] : [{ name, port, protocol: SRV[protocol] }],
  );
  const isPlain = externalName === '' && affinityTimeoutSeconds === 0 && exportTo.length === 0 && ports.length === 0;
  return isPlain ? {} : { extension: { externalName, exportTo, affinityTimeoutSeconds, ports } };
}

const SRV = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

function compilePorts(ports: readonly ServiceObjectPort[]): ServicePort[] {
  return ports.map(({ port, targetPort, appProtocol }) => ({
    servicePort: port,
    targetPort: typeof targetPort === 'number' ? targetPort : 0,
    appProtocol,
  }));
}

function ipFamiliesOf({ ipFamilies, ipFamilyPolicy }: ServiceObject): IpFamilies {
  if (ipFamilies.length === 2 || ipFamilyPolicy !== 'SingleStack') return 'DUAL';
  if (ipFamilies[0] === 'IPv4') return 'IPV4_ONLY';
  return ipFamilies[0] === 'IPv6' ? 'IPV6_ONLY' : 'AUTOMATIC';
}

/** The families of which a Service is to have an address, its own first. */
function familiesWanted({ ipFamilies, ipFamilyPolicy }: ServiceObject): readonly IpFamily[] {
  const first: readonly IpFamily[] = ipFamilies.length > 0 ? ipFamilies : ['IPv4'];
  return ipFamilyPolicy === 'SingleStack' ? first : [...new Set<IpFamily>([...first, 'IPv4', 'IPv6'])];
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

function compileHost(
  { namespace, host, shares }: EntryHost,
  settings: CompileSettings,
  findWaypoint: FindWaypoint,
  allocate: AddressSources,
): Service | undefined {
  const [{ entry }] = shares as [HostShare];
  const visibility = visibilityOf(entry);
  if (visibility === undefined) return undefined;
  const waypoint = findWaypoint(entry, 'service');
  const { exportTo } = visibility;
  // Of a host that several entries make up each endpoint serves the ports of its own entry, and no other.
  const isShared = shares.length > 1;
  const ports = shares.flatMap((share) => compilePorts(share.ports));
  return {
    name: entry.meta.name,
    namespace,
    hostname: host,
    addresses: allocate.host(shares, host).map((address) => ({ ...address, network: settings.network })),
    ports: isShared ? ports.map((port) => ({ ...port, targetPort: 0 })) : ports,
    subjectAltNames: [...new Set(shares.flatMap((share) => share.entry.subjectAltNames))],
    ...(waypoint && { waypoint }),
    ...(entry.resolution === 'NONE' && {
      loadBalancing: { routingPreference: [], mode: 'PASSTHROUGH', healthPolicy: 'ALLOW_ALL' } as const,
    }),
    ipFamilies: 'AUTOMATIC',
    canonical: true,
    ingressUseWaypoint: entry.meta.labels.get('istio.io/ingress-use-waypoint') === 'true',
    visibility: visibility.visibility,
    ...(exportTo.length > 0 && { extension: { externalName: '', exportTo, affinityTimeoutSeconds: 0, ports: [] } }),
  };
}

interface AddressSources {
  service(object: ServiceObject): readonly string[];
  host(shares: readonly HostShare[], host: string): readonly NetworkAddress[];
}

/** Addresses as the objects give them, else from the ranges that are ours to give. */
function addressSources(objects: ObjectSnapshot, settings: CompileSettings, notices: Notice[]): AddressSources {
  const taken = new Set<string>(objects.of('Service').flatMap(({ clusterIps }) => clusterIps));
  for (const entry of objects.of('ServiceEntry')) for (const { address } of entry.assigned) taken.add(address);
  const ofServices = settings.serviceRanges.map((range) => new AddressAllocator(range, taken));
  const ofEntries = new AddressAllocator(settings.serviceEntryRange, taken);
  const give = (
    allocator: AddressAllocator | undefined,
    name: string,
    object: MeshObject,
    family: IpFamily = 'IPv4',
  ): string[] => {
    const address = allocator?.allocate(name);
    if (address !== undefined) return [address];
    const message = `${allocator === undefined ? `there is no range of ${family} addresses` : `no ${family} address is left in the range`} for it (--service-cidr)`;
    notices.push({ code: 'ADDRESS_EXHAUSTED', object: objectKey(object.kind, object.meta), message });
    return [];
  };
  return {
    service: (object) => {
      if (object.headless || object.type === 'ExternalName') return [];
      const missing = familiesWanted(object).filter(
        (family) => !object.clusterIps.some((address) => familyOf(address) === family),
      );
      // A Service that has the address it asked for, and asks for no further family, is as it was written.
      const isComplete = object.clusterIps.length > 0 && object.ipFamilyPolicy === 'SingleStack';
      const given = (isComplete ? [] : missing).flatMap((family) =>
        give(
          ofServices.find((allocator) => allocator.family === family),
          `${object.meta.namespace}/${object.meta.name}`,
          object,
          family,
        ),
      );
      return [...object.clusterIps, ...given];
    },
    host: (shares, host) => {
      const [{ entry }] = shares as [HostShare];
      const written = shares.flatMap((share) => share.entry.addresses.flatMap(toNetworkAddress));
      if (written.length > 0) return unique(written);
      const assigned = shares
        .flatMap((share) => share.entry.assigned)
        .filter((item) => item.host === host && item.address !== '');
      if (assigned.length > 0) return unique(assigned.map(({ address }) => ({ network: '', address })));
      if (entry.resolution === 'NONE' || host.startsWith('*')) return [];
      return give(ofEntries, `${entry.meta.namespace}/${host}`, entry).map((address) => ({ network: '', address }));
    },
  };
}

function familyOf(address: string): IpFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

function unique(addresses: readonly NetworkAddress[]): NetworkAddress[] {
  return [...new Map(addresses.map((address) => [formatNetworkAddress(address), address])).values()];
}

function toNetworkAddress(text: string): NetworkAddress[] {
  const range = entryRange(text);
  if (range === undefined) return [];
  const { address, prefixLength } = range;
  return [text.includes('/') ? { network: '', address, prefixLength } : { network: '', address }];
}
