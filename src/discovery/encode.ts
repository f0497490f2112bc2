// SPDX-License-Identifier: Apache-2.0

import { addressBytes, parseAddress } from '../model/address.ts';
import {
  type AddressRange,
  type Authorization,
  type PolicyMatch,
  policyKey,
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
import { encodeHostnames, encodeServiceExtension } from './extensions.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, contentVersion, type EncodedResource, type MeshObject } from './resource.ts';

/** Throws `TypeError` when a model object holds an address that is not one: that is a bug of its maker. */
export function encodeObject(object: MeshObject): EncodedResource {
  switch (object.kind) {
    case 'workload':
      return encodeWorkload(object.workload);
    case 'service':
      return encodeService(object.service);
    case 'authorization':
      return encodeAuthorization(object.authorization);
  }
}

// Left out on the wire; the service account `default` is written, as istiod does.
const DEFAULT_TRUST_DOMAIN = 'cluster.local';

function encodeWorkload(workload: Workload): EncodedResource {
  const { locality, applicationTunnel, capacity } = workload;
  const message = wire.Workload.fromPartial({
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    addresses: workload.addresses.map(wireAddress),
    hostname: workload.hostname,
    network: workload.network,
    tunnelProtocol: wire.TunnelProtocol[workload.tunnelProtocol],
    trustDomain: workload.trustDomain === DEFAULT_TRUST_DOMAIN ? '' : workload.trustDomain,
    serviceAccount: workload.serviceAccount,
    node: workload.node,
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    workloadType: wire.WorkloadType[workload.workloadType],
    workloadName: workload.workloadName,
    nativeTunnel: workload.nativeTunnel,
    services: encodeWorkloadServices(workload.services),
    authorizationPolicies: [...workload.authorizationPolicies],
    status: wire.WorkloadStatus[workload.status],
    clusterId: workload.clusterId,
    networkMode: wire.NetworkMode[workload.networkMode],
  });
  if (workload.waypoint !== undefined) message.waypoint = encodeGateway(workload.waypoint);
  if (workload.networkGateway !== undefined) message.networkGateway = encodeGateway(workload.networkGateway);
  if (locality !== undefined) message.locality = wire.Locality.fromPartial(locality);
  if (capacity !== 1) message.capacity = capacity;
  if (workload.hostnames !== undefined) message.extensions = [encodeHostnames(workload.hostnames)];
  if (applicationTunnel !== undefined) {
    const protocol = wire.ApplicationTunnel_Protocol[applicationTunnel.protocol];
    message.applicationTunnel = wire.ApplicationTunnel.fromPartial({ protocol, port: applicationTunnel.port });
  }
  const bytes = wire.Address.encode(wire.Address.fromPartial({ type: { $case: 'workload', value: message } })).finish();
  return {
    type: ADDRESS_TYPE,
    name: workload.uid,
    // Pods on the host's network share the node's address, so that names none of them.
    aliases:
      workload.networkMode === 'HOST_NETWORK'
        ? []
        : workload.addresses.map((address) => `${workload.network}/${address}`),
    memberOf: [...workload.services.keys()],
    version: contentVersion(bytes),
    bytes,
  };
}

// Sorted, so that the same workload always has the same bytes and so the same version.
function encodeWorkloadServices(services: Workload['services']): Record<string, wire.PortList> {
  const keys = [...services.keys()].sort();
  return Object.fromEntries(
    keys.map((key) => [key, wire.PortList.fromPartial({ ports: (services.get(key) ?? []).map(encodePort) })]),
  );
}

function encodeService(service: Service): EncodedResource {
  const message = wire.Service.fromPartial({
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: service.addresses.map(encodeNetworkAddress),
    ports: service.ports.map(encodePort),
    subjectAltNames: [...service.subjectAltNames],
    ipFamilies: wire.IPFamilies[service.ipFamilies],
    canonical: service.canonical,
    ingressUseWaypoint: service.ingressUseWaypoint,
    visibility: wire.Service_Visibility[service.visibility],
  });
  if (service.waypoint !== undefined) message.waypoint = encodeGateway(service.waypoint);
  if (service.extension !== undefined) message.extensions = [encodeServiceExtension(service.extension)];
  if (service.loadBalancing !== undefined) message.loadBalancing = encodeLoadBalancing(service.loadBalancing);
  const bytes = wire.Address.encode(wire.Address.fromPartial({ type: { $case: 'service', value: message } })).finish();
  return {
    type: ADDRESS_TYPE,
    name: serviceKey(service),
    aliases: service.addresses.map(({ network, address, prefixLength }) =>
      prefixLength === undefined ? `${network}/${address}` : `${network}/${address}/${prefixLength}`,
    ),
    memberOf: [],
    version: contentVersion(bytes),
    bytes,
  };
}

function encodeAuthorization(authorization: Authorization): EncodedResource {
  const message = security.Authorization.fromPartial({
    name: authorization.name,
    namespace: authorization.namespace,
    scope: security.Scope[authorization.scope],
    action: security.Action[authorization.action],
    dryRun: authorization.dryRun,
    rules: authorization.rules.map((rule) => ({
      clauses: rule.clauses.map((clause) => ({ matches: clause.matches.map(encodeMatch) })),
    })),
  });
  const bytes = security.Authorization.encode(message).finish();
  return {
    type: AUTHORIZATION_TYPE,
    name: policyKey(authorization),
    aliases: [],
    memberOf: [],
    version: contentVersion(bytes),
    bytes,
  };
}

function encodeMatch(match: PolicyMatch): security.Match {
  return security.Match.fromPartial({
    namespaces: match.namespaces.map(encodeStringMatch),
    notNamespaces: match.notNamespaces.map(encodeStringMatch),
    principals: match.principals.map(encodeStringMatch),
    notPrincipals: match.notPrincipals.map(encodeStringMatch),
    serviceAccounts: [...match.serviceAccounts],
    notServiceAccounts: [...match.notServiceAccounts],
    sourceIps: match.sourceIps.map(encodeRange),
    notSourceIps: match.notSourceIps.map(encodeRange),
    destinationIps: match.destinationIps.map(encodeRange),
    notDestinationIps: match.notDestinationIps.map(encodeRange),
    destinationPorts: [...match.destinationPorts],
    notDestinationPorts: [...match.notDestinationPorts],
  });
}

function encodeStringMatch(match: StringMatch): security.StringMatch {
  if (match.kind === 'presence')
    return security.StringMatch.fromPartial({ matchType: { $case: 'presence', value: {} } });
  return security.StringMatch.fromPartial({ matchType: { $case: match.kind, value: match.value } });
}

function encodeRange(range: AddressRange): security.Address {
  return security.Address.fromPartial({ address: wireAddress(range.address), length: range.prefixLength });
}

function encodePort(port: ServicePort): wire.Port {
  const appProtocol = wire.AppProtocol[port.appProtocol];
  return wire.Port.fromPartial({ servicePort: port.servicePort, targetPort: port.targetPort, appProtocol });
}

function encodeNetworkAddress({ network, address, prefixLength }: NetworkAddress): wire.NetworkAddress {
  const message = wire.NetworkAddress.fromPartial({ network, address: wireAddress(address) });
  if (prefixLength !== undefined) message.length = prefixLength;
  return message;
}

function encodeGateway({ destination, hboneMtlsPort }: GatewayAddress): wire.GatewayAddress {
  if (destination.kind === 'hostname') {
    const { namespace, hostname } = destination;
    return wire.GatewayAddress.fromPartial({
      destination: { $case: 'hostname', value: { namespace, hostname } },
      hboneMtlsPort,
    });
  }
  const value = encodeNetworkAddress({ network: destination.network, address: destination.address });
  return wire.GatewayAddress.fromPartial({ destination: { $case: 'address', value }, hboneMtlsPort });
}

function encodeLoadBalancing(loadBalancing: LoadBalancing): wire.LoadBalancing {
  return wire.LoadBalancing.fromPartial({
    routingPreference: loadBalancing.routingPreference.map((scope) => wire.LoadBalancing_Scope[scope]),
    mode: wire.LoadBalancing_Mode[loadBalancing.mode],
    healthPolicy: wire.LoadBalancing_HealthPolicy[loadBalancing.healthPolicy],
  });
}

function wireAddress(text: string): Buffer {
  const canonical = parseAddress(text);
  if (canonical === undefined) throw new TypeError(`not an IP address: ${JSON.stringify(text)}`);
  return Buffer.from(addressBytes(canonical));
}
