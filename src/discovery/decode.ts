// SPDX-License-Identifier: Apache-2.0

import { formatAddress } from '../model/address.ts';
import {
  type AddressRange,
  type Authorization,
  type PolicyMatch,
  policyKey,
  type ServiceAccountMatch,
  type StringMatch,
} from '../model/policy.ts';
import {
  type GatewayAddress,
  type LoadBalancing,
  type NetworkAddress,
  type Service,
  type ServicePort,
  serviceKey,
} from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import * as security from '../wire/istio/authorization.ts';
import * as wire from '../wire/istio/workload.ts';
import { decodeHostnames, decodeServiceExtension } from './extensions.ts';
import { readRemains } from './remains.ts';
import { ADDRESS_TYPE, type MeshObject, type ResourceRejected, type ResourceType } from './resource.ts';

/** What is wrong in a resource; becomes a `ResourceRejected` at `decodeObject`, and leaves this file in no other way. */
class Misunderstood extends Error {}

/**
 * Reads one resource from the wire, strictly: what cannot be understood in full is rejected whole.
 *
 * `name` is the name in the envelope and must be the name that the content has; `index` is the position in its response.
 * Unknown fields are skipped in workloads and services, as the wire format promises that they may be, and rejected in
 * policies: a condition that is not seen could allow what was to be denied.
 * Returns the object or a `ResourceRejected`; never throws.
 */
export function decodeObject(
  type: ResourceType,
  name: string,
  bytes: Uint8Array,
  index: number,
): MeshObject | ResourceRejected {
  try {
    const object = type === ADDRESS_TYPE ? decodeAddressObject(bytes) : decodeAuthorizationObject(bytes);
    const own = objectName(object);
    if (own !== name) throw new Misunderstood(`content is ${JSON.stringify(own)}, not what its name says`);
    return object;
  } catch (error) {
    const reason = error instanceof Misunderstood ? error.message : `not a valid message: ${String(error)}`;
    return { kind: 'rejected', type, name, index, reason, remains: readRemains(type, name, bytes) };
  }
}

/** The name of an object on the wire. */
export function objectName(object: MeshObject): string {
  switch (object.kind) {
    case 'workload':
      return object.workload.uid;
    case 'service':
      return serviceKey(object.service);
    case 'authorization':
      return policyKey(object.authorization);
  }
}

function decodeAddressObject(bytes: Uint8Array): MeshObject {
  const { type } = wire.Address.decode(bytes);
  if (type === undefined) throw new Misunderstood('neither a workload nor a service');
  return type.$case === 'workload'
    ? { kind: 'workload', workload: decodeWorkload(type.value) }
    : { kind: 'service', service: decodeService(type.value) };
}

function decodeAuthorizationObject(bytes: Uint8Array): MeshObject {
  return { kind: 'authorization', authorization: decodeAuthorization(security.Authorization.decode(bytes)) };
}

function decodeWorkload(message: wire.Workload): Workload {
  const { waypoint, networkGateway, locality, applicationTunnel, capacity } = message;
  const hostnames = decodeHostnames(message.extensions);
  const tunnelProtocol = enumName(wire.TunnelProtocol, message.tunnelProtocol, 'tunnel_protocol');
  if (tunnelProtocol === 'LEGACY_ISTIO_MTLS')
    throw new Misunderstood('tunnel_protocol: LEGACY_ISTIO_MTLS is not spoken here');
  return {
    uid: filled(message.uid, 'uid'),
    name: message.name,
    namespace: message.namespace,
    addresses: message.addresses.map((address, i) => addressText(address, `addresses[${i}]`)),
    hostname: message.hostname,
    network: message.network,
    tunnelProtocol,
    trustDomain: message.trustDomain === '' ? 'cluster.local' : message.trustDomain,
    serviceAccount: message.serviceAccount === '' ? 'default' : message.serviceAccount,
    node: message.node,
    canonicalName: message.canonicalName,
    canonicalRevision: message.canonicalRevision,
    workloadType: enumName(wire.WorkloadType, message.workloadType, 'workload_type'),
    workloadName: message.workloadName,
    nativeTunnel: message.nativeTunnel,
    services: new Map(
      Object.entries(message.services).map(([key, list]) => [key, decodePorts(list.ports, `services[${key}].ports`)]),
    ),
    authorizationPolicies: message.authorizationPolicies,
    status: enumName(wire.WorkloadStatus, message.status, 'status'),
    clusterId: message.clusterId === '' ? 'Kubernetes' : message.clusterId,
    networkMode: enumName(wire.NetworkMode, message.networkMode, 'network_mode'),
    capacity: capacity ?? 1,
    ...(hostnames && { hostnames }),
    ...(waypoint && { waypoint: decodeGateway(waypoint, 'waypoint') }),
    ...(networkGateway && { networkGateway: decodeGateway(networkGateway, 'network_gateway') }),
    ...(locality && { locality: { region: locality.region, zone: locality.zone, subzone: locality.subzone } }),
    ...(applicationTunnel && {
      applicationTunnel: {
        protocol: enumName(wire.ApplicationTunnel_Protocol, applicationTunnel.protocol, 'application_tunnel.protocol'),
        port: portNumber(applicationTunnel.port, 'application_tunnel.port'),
      },
    }),
  };
}

function decodeService(message: wire.Service): Service {
  const { waypoint, loadBalancing } = message;
  const extension = decodeServiceExtension(message.extensions);
  // Sending its connections past a waypoint that was asked for would send them past the policy that is enforced there.
  if (message.weightedWaypoints.length > 0) throw new Misunderstood('weighted_waypoints: not served by this version');
  return {
    name: message.name,
    namespace: filled(message.namespace, 'namespace'),
    hostname: filled(message.hostname, 'hostname'),
    addresses: message.addresses.map((address, i) => decodeNetworkAddress(address, `addresses[${i}]`)),
    ports: decodePorts(message.ports, 'ports'),
    subjectAltNames: message.subjectAltNames,
    ipFamilies: enumName(wire.IPFamilies, message.ipFamilies, 'ip_families'),
    canonical: message.canonical,
    ingressUseWaypoint: message.ingressUseWaypoint,
    visibility: enumName(wire.Service_Visibility, message.visibility, 'visibility'),
    ...(waypoint && { waypoint: decodeGateway(waypoint, 'waypoint') }),
    ...(extension && { extension }),
    ...(loadBalancing && { loadBalancing: decodeLoadBalancing(loadBalancing) }),
  };
}

function decodeAuthorization(message: security.Authorization): Authorization {
  knownInFull(message, 'policy');
  return {
    name: filled(message.name, 'name'),
    namespace: filled(message.namespace, 'namespace'),
    scope: enumName(security.Scope, message.scope, 'scope'),
    action: enumName(security.Action, message.action, 'action'),
    dryRun: message.dryRun,
    rules: message.rules.map((rule, i) => {
      knownInFull(rule, `rules[${i}]`);
      return { clauses: rule.clauses.map((clause, j) => decodeClause(clause, `rules[${i}].clauses[${j}]`)) };
    }),
  };
}

function decodeClause(clause: security.Clause, path: string): { matches: PolicyMatch[] } {
  knownInFull(clause, path);
  return { matches: clause.matches.map((match, i) => decodeMatch(match, `${path}.matches[${i}]`)) };
}

function decodeMatch(match: security.Match, path: string): PolicyMatch {
  knownInFull(match, path);
  const each = <From, To>(list: readonly From[], field: string, decode: (from: From, path: string) => To): To[] =>
    list.map((item, i) => decode(item, `${path}.${field}[${i}]`));
  return {
    namespaces: each(match.namespaces, 'namespaces', decodeStringMatch),
    notNamespaces: each(match.notNamespaces, 'not_namespaces', decodeStringMatch),
    principals: each(match.principals, 'principals', decodeStringMatch),
    notPrincipals: each(match.notPrincipals, 'not_principals', decodeStringMatch),
    serviceAccounts: each(match.serviceAccounts, 'service_accounts', decodeServiceAccount),
    notServiceAccounts: each(match.notServiceAccounts, 'not_service_accounts', decodeServiceAccount),
    sourceIps: each(match.sourceIps, 'source_ips', decodeRange),
    notSourceIps: each(match.notSourceIps, 'not_source_ips', decodeRange),
    destinationIps: each(match.destinationIps, 'destination_ips', decodeRange),
    notDestinationIps: each(match.notDestinationIps, 'not_destination_ips', decodeRange),
    destinationPorts: each(match.destinationPorts, 'destination_ports', portNumber),
    notDestinationPorts: each(match.notDestinationPorts, 'not_destination_ports', portNumber),
  };
}

function decodeStringMatch(message: security.StringMatch, path: string): StringMatch {
  knownInFull(message, path);
  const match = message.matchType;
  if (match === undefined) throw new Misunderstood(`${path}: no way of matching is set`);
  if (match.$case === 'presence') return { kind: 'presence' };
  return { kind: match.$case, value: match.value };
}

function decodeServiceAccount(message: security.ServiceAccountMatch, path: string): ServiceAccountMatch {
  knownInFull(message, path);
  return { namespace: message.namespace, serviceAccount: filled(message.serviceAccount, `${path}.serviceAccount`) };
}

function decodeRange(message: security.Address, path: string): AddressRange {
  knownInFull(message, path);
  return {
    address: addressText(message.address, path),
    prefixLength: prefixLength(message.length, message.address, path),
  };
}

function decodePorts(ports: readonly wire.Port[], path: string): ServicePort[] {
  return ports.map((port, i) => ({
    servicePort: portNumber(port.servicePort, `${path}[${i}].service_port`),
    targetPort: portNumber(port.targetPort, `${path}[${i}].target_port`),
    appProtocol: enumName(wire.AppProtocol, port.appProtocol, `${path}[${i}].app_protocol`),
  }));
}

function decodeNetworkAddress(message: wire.NetworkAddress, path: string): NetworkAddress {
  const address = addressText(message.address, path);
  if (message.length === undefined) return { network: message.network, address };
  return { network: message.network, address, prefixLength: prefixLength(message.length, message.address, path) };
}

function decodeGateway(message: wire.GatewayAddress, path: string): GatewayAddress {
  const { destination } = message;
  if (destination === undefined) throw new Misunderstood(`${path}: no destination is set`);
  const hboneMtlsPort = portNumber(message.hboneMtlsPort, `${path}.hbone_mtls_port`);
  if (destination.$case === 'hostname') {
    const { namespace, hostname } = destination.value;
    return {
      destination: { kind: 'hostname', namespace, hostname: filled(hostname, `${path}.hostname`) },
      hboneMtlsPort,
    };
  }
  const { network, address } = decodeNetworkAddress(destination.value, `${path}.address`);
  return { destination: { kind: 'address', network, address }, hboneMtlsPort };
}

function decodeLoadBalancing(message: wire.LoadBalancing): LoadBalancing {
  return {
    routingPreference: message.routingPreference.map((scope, i) => {
      const name = enumName(wire.LoadBalancing_Scope, scope, `load_balancing.routing_preference[${i}]`);
      if (name === 'UNSPECIFIED_SCOPE')
        throw new Misunderstood(`load_balancing.routing_preference[${i}]: no scope is set`);
      return name;
    }),
    mode: enumName(wire.LoadBalancing_Mode, message.mode, 'load_balancing.mode'),
    healthPolicy: enumName(wire.LoadBalancing_HealthPolicy, message.healthPolicy, 'load_balancing.health_policy'),
  };
}

function enumName<T extends Readonly<Record<string, number>>>(names: T, value: number, path: string): keyof T & string {
  for (const name in names) if (names[name] === value) return name;
  throw new Misunderstood(`${path}: unknown value ${value}`);
}

function addressText(bytes: Uint8Array, path: string): string {
  if (bytes.length === 4 || bytes.length === 16) return formatAddress(bytes);
  throw new Misunderstood(`${path}: an address has 4 or 16 bytes, not ${bytes.length}`);
}

function prefixLength(length: number, address: Uint8Array, path: string): number {
  // A mapped address is shown as IPv4, so its prefix loses the 96 bits in front.
  const mapped = address.length === 16 && formatAddress(address).includes('.');
  const bits = mapped ? length - 96 : length;
  const max = mapped ? 32 : address.length * 8;
  if (bits < 0 || bits > max) throw new Misunderstood(`${path}: prefix length ${length} does not fit the address`);
  return bits;
}

function portNumber(port: number, path: string): number {
  if (port > 65535) throw new Misunderstood(`${path}: ${port} is not a port`);
  return port;
}

function filled(text: string, path: string): string {
  if (text === '') throw new Misunderstood(`${path}: is empty`);
  return text;
}

function knownInFull(
  message: { readonly _unknownFields?: Record<number, unknown> | undefined; readonly extensions?: readonly unknown[] },
  path: string,
): void {
  // The key is the tag on the wire: field number and, in its low three bits, the wire type.
  const [tag] = Object.keys(message._unknownFields ?? {});
  if (tag !== undefined) throw new Misunderstood(`${path}: field ${Number(tag) >>> 3} is not known to this version`);
  if (message.extensions !== undefined && message.extensions.length > 0) {
    throw new Misunderstood(`${path}: extensions are not known to this version`);
  }
}
