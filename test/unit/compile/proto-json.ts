// SPDX-License-Identifier: Apache-2.0

import { addressBytes } from '#src/model/address.ts';
import type { Authorization, PolicyMatch, StringMatch } from '#src/model/policy.ts';
import type { GatewayAddress, Service, ServicePort } from '#src/model/service.ts';
import type { Workload } from '#src/model/workload.ts';

/** The recorded form: proto field names, bytes in base64, fields at their default left out. */
export type ProtoJson = { [field: string]: unknown };

export function workloadToJson(workload: Workload): ProtoJson {
  const services = [...workload.services].map(([key, ports]) => [key, strip({ ports: ports.map(port) })]);
  return strip({
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    addresses: workload.addresses.map(base64),
    hostname: workload.hostname,
    network: workload.network,
    tunnel_protocol: not('NONE', workload.tunnelProtocol),
    trust_domain: not('cluster.local', workload.trustDomain),
    service_account: workload.serviceAccount,
    waypoint: gateway(workload.waypoint),
    node: workload.node,
    canonical_name: workload.canonicalName,
    canonical_revision: workload.canonicalRevision,
    workload_type: not('DEPLOYMENT', workload.workloadType),
    workload_name: workload.workloadName,
    native_tunnel: workload.nativeTunnel,
    services: Object.fromEntries(services),
    authorization_policies: workload.authorizationPolicies,
    status: not('HEALTHY', workload.status),
    cluster_id: workload.clusterId,
    locality: workload.locality && strip({ ...workload.locality }),
    network_mode: not('STANDARD', workload.networkMode),
    capacity: workload.capacity === 1 ? undefined : workload.capacity,
  });
}

export function serviceToJson(service: Service): ProtoJson {
  const balancing = service.loadBalancing;
  return strip({
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: service.addresses.map(({ network, address, prefixLength }) =>
      strip({ network, address: base64(address), length: prefixLength }),
    ),
    ports: service.ports.map(port),
    subject_alt_names: service.subjectAltNames,
    waypoint: gateway(service.waypoint),
    load_balancing:
      balancing &&
      strip({
        routing_preference: balancing.routingPreference,
        mode: not('UNSPECIFIED_MODE', balancing.mode),
        health_policy: not('ONLY_HEALTHY', balancing.healthPolicy),
      }),
    ip_families: not('AUTOMATIC', service.ipFamilies),
    canonical: service.canonical,
    ingress_use_waypoint: service.ingressUseWaypoint,
    visibility: not('PUBLIC', service.visibility),
  });
}

export function authorizationToJson(policy: Authorization): ProtoJson {
  return strip({
    name: policy.name,
    namespace: policy.namespace,
    scope: not('GLOBAL', policy.scope),
    action: not('ALLOW', policy.action),
    rules: policy.rules.map((rule) =>
      strip({ clauses: rule.clauses.map((clause) => strip({ matches: clause.matches.map(match) })) }),
    ),
    dry_run: policy.dryRun,
  });
}

function match(value: PolicyMatch): ProtoJson {
  const ranges = (list: PolicyMatch['sourceIps']): ProtoJson[] =>
    list.map(({ address, prefixLength }) => ({ address: base64(address), length: prefixLength }));
  return strip({
    namespaces: value.namespaces.map(stringMatch),
    not_namespaces: value.notNamespaces.map(stringMatch),
    principals: value.principals.map(stringMatch),
    not_principals: value.notPrincipals.map(stringMatch),
    service_accounts: value.serviceAccounts,
    not_service_accounts: value.notServiceAccounts,
    source_ips: ranges(value.sourceIps),
    not_source_ips: ranges(value.notSourceIps),
    destination_ips: ranges(value.destinationIps),
    not_destination_ips: ranges(value.notDestinationIps),
    destination_ports: value.destinationPorts,
    not_destination_ports: value.notDestinationPorts,
  });
}

function stringMatch(value: StringMatch): ProtoJson {
  return value.kind === 'presence' ? { presence: {} } : { [value.kind]: value.value };
}

function gateway(address: GatewayAddress | undefined): ProtoJson | undefined {
  if (address === undefined) return undefined;
  const { destination, hboneMtlsPort } = address;
  if (destination.kind === 'hostname') {
    const { namespace, hostname } = destination;
    return { hostname: { namespace, hostname }, hbone_mtls_port: hboneMtlsPort };
  }
  const { network } = destination;
  return { address: strip({ network, address: base64(destination.address) }), hbone_mtls_port: hboneMtlsPort };
}

function port(value: ServicePort): ProtoJson {
  return strip({
    service_port: value.servicePort,
    target_port: value.targetPort,
    app_protocol: not('UNKNOWN', value.appProtocol),
  });
}

function base64(address: string): string {
  return Buffer.from(addressBytes(address)).toString('base64');
}

function not<T>(absent: T, value: T): T | undefined {
  return value === absent ? undefined : value;
}

function strip(fields: ProtoJson): ProtoJson {
  const kept = Object.entries(fields).filter(([, value]) => {
    if (value === undefined || value === '' || value === 0 || value === false) return false;
    if (Array.isArray(value)) return value.length > 0;
    return typeof value !== 'object' || value === null || Object.keys(value).length > 0;
  });
  return Object.fromEntries(kept);
}
