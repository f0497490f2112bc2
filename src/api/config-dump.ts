// SPDX-License-Identifier: Apache-2.0

// `/config_dump` in the shape that istioctl reads (`istioctl ztunnel-config`): camelCase, what is empty or at its default
// left out exactly where ztunnel leaves it out. Source: recorded from a stock ztunnel 62d8265; istio
// istioctl/pkg/writer/ztunnel/configdump/api.go.

import type { VersionFacts } from '../config/version.ts';
import type { CertificateStatus } from '../identity/certificate-manager.ts';
import { isRange } from '../model/address.ts';
import type { Authorization, PolicyMatch, StringMatch } from '../model/policy.ts';
import type { GatewayAddress, IpFamilies, Service, ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { ConnectionFacts, MeshContents, PodFacts } from './facts.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface DumpSource {
  readonly mesh: MeshContents;
  readonly certificates: readonly CertificateStatus[];
  readonly pods: readonly PodFacts[];
  readonly connections: readonly ConnectionFacts[];
  readonly version: VersionFacts;
  readonly config: Readonly<Record<string, string>>;
}

/** Everything the agent knows, for `istioctl` and people. No keys. */
export function dumpConfig(source: DumpSource): Json {
  const { mesh } = source;
  return {
    certificates: source.certificates.map(dumpCertificate),
    config: source.config,
    policies: [...mesh.policies.values()].sort(byNamespaceAndName).map(dumpPolicy),
    services: [...mesh.services.values()].sort(byNamespaceAndName).map((service) => dumpService(service, mesh)),
    stagedServices: {},
    staticConfig: { policies: [], services: [], workloads: [] },
    version: dumpVersion(source.version),
    workloadState: Object.fromEntries(source.pods.map((pod) => [pod.uid, dumpPod(pod, source.connections)])),
    workloads: [...mesh.workloads.values()].sort(byNamespaceAndName).map(dumpWorkload),
  };
}

export function dumpWorkload(workload: Workload): Json {
  return {
    ...(workload.applicationTunnel && {
      applicationTunnel: { protocol: workload.applicationTunnel.protocol, port: workload.applicationTunnel.port },
    }),
    ...nonEmptyList('authorizationPolicies', workload.authorizationPolicies),
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    capacity: workload.capacity,
    clusterId: workload.clusterId,
    ...(workload.hostname !== '' && { hostname: workload.hostname }),
    ...(workload.locality && { locality: { ...workload.locality } }),
    name: workload.name,
    namespace: workload.namespace,
    ...(workload.nativeTunnel && { nativeTunnel: true }),
    ...(workload.network !== '' && { network: workload.network }),
    ...(workload.networkGateway && { networkGateway: dumpGateway(workload.networkGateway) }),
    networkMode: workload.networkMode === 'STANDARD' ? 'Standard' : 'HostNetwork',
    ...(workload.node !== '' && { node: workload.node }),
    protocol: workload.tunnelProtocol === 'HBONE' ? 'HBONE' : 'TCP',
    serviceAccount: workload.serviceAccount,
    ...nonEmptyList('services', [...workload.services.keys()]),
    status: workload.status === 'HEALTHY' ? 'Healthy' : 'Unhealthy',
    trustDomain: workload.trustDomain,
    uid: workload.uid,
    ...(workload.waypoint && { waypoint: dumpGateway(workload.waypoint) }),
    workloadIps: workload.addresses,
    workloadName: workload.workloadName,
    workloadType: workload.workloadType.toLowerCase(),
  };
}

// One that is known by its name serves nobody while that cannot be resolved.
function isReachable({ status, hostname, addresses }: Workload, mesh: Pick<MeshContents, 'findName'>): boolean {
  const named = hostname === '' || addresses.length > 0 ? undefined : mesh.findName(hostname.toLowerCase());
  return status === 'HEALTHY' && (named === undefined || named.kind === 'found');
}

export function dumpService(service: Service, mesh: Pick<MeshContents, 'endpointsOf' | 'findName'>): Json {
  const endpoints = [...mesh.endpointsOf(`${service.namespace}/${service.hostname}`).values()];
  const ranges = service.addresses.filter(isRange);
  return {
    canonical: service.canonical,
    ...nonEmptyList(
      'cidrVips',
      ranges.map((range) => `${formatVip(range)}/${range.prefixLength}`),
    ),
    endpoints: Object.fromEntries(
      endpoints.map(({ workload, ports }) => [
        workload.uid,
        {
          port: dumpPorts(ports),
          status: isReachable(workload, mesh) ? 'Healthy' : 'Unhealthy',
          workloadUid: workload.uid,
        },
      ]),
    ),
    hostname: service.hostname,
    ...IP_FAMILIES[service.ipFamilies],
    ...(service.loadBalancing && {
      loadBalancer: {
        healthPolicy: pascal(service.loadBalancing.healthPolicy),
        mode: service.loadBalancing.mode === 'UNSPECIFIED_MODE' ? 'Standard' : pascal(service.loadBalancing.mode),
        routingPreferences: service.loadBalancing.routingPreference.map(pascal),
      },
    }),
    name: service.name,
    namespace: service.namespace,
    ports: dumpPorts(service.ports),
    subjectAltNames: service.subjectAltNames,
    vips: service.addresses.filter((address) => !isRange(address)).map(formatVip),
    visibility: pascal(service.visibility),
    ...(service.waypoint && { waypoint: dumpGateway(service.waypoint) }),
  };
}

export function dumpPolicy(policy: Authorization): Json {
  return {
    action: pascal(policy.action),
    dryRun: policy.dryRun,
    name: policy.name,
    namespace: policy.namespace,
    rules: policy.rules.map((rule) => rule.clauses.map((clause) => clause.matches.map(dumpMatch))),
    scope: pascal(policy.scope),
  };
}

export function dumpCertificate(certificate: CertificateStatus): Json {
  return {
    certChain: certificate.certChain.map((one) => ({ ...one })),
    ...(certificate.error !== undefined && { error: certificate.error }),
    identity: certificate.identity,
    rootCerts: certificate.rootCerts.map((one) => ({ ...one })),
    state: certificate.state,
  };
}

function dumpMatch(match: PolicyMatch): Json {
  const range = ({ address, prefixLength }: { address: string; prefixLength: number }): string =>
    `${address}/${prefixLength}`;
  return {
    ...nonEmptyList('destinationIps', match.destinationIps.map(range)),
    ...nonEmptyList('destinationPorts', match.destinationPorts),
    ...nonEmptyList('namespaces', match.namespaces.map(dumpStringMatch)),
    ...nonEmptyList('notDestinationIps', match.notDestinationIps.map(range)),
    ...nonEmptyList('notDestinationPorts', match.notDestinationPorts),
    ...nonEmptyList('notNamespaces', match.notNamespaces.map(dumpStringMatch)),
    ...nonEmptyList('notPrincipals', match.notPrincipals.map(dumpStringMatch)),
    ...nonEmptyList(
      'notServiceAccounts',
      match.notServiceAccounts.map((one) => ({ ...one })),
    ),
    ...nonEmptyList('notSourceIps', match.notSourceIps.map(range)),
    ...nonEmptyList('principals', match.principals.map(dumpStringMatch)),
    ...nonEmptyList(
      'serviceAccounts',
      match.serviceAccounts.map((one) => ({ ...one })),
    ),
    ...nonEmptyList('sourceIps', match.sourceIps.map(range)),
  };
}

function dumpStringMatch(match: StringMatch): Json {
  return { [pascal(match.kind)]: match.kind === 'presence' ? [] : match.value };
}

function dumpGateway(gateway: GatewayAddress): Json {
  const { destination } = gateway;
  const named =
    destination.kind === 'hostname' ? `${destination.namespace}/${destination.hostname}` : formatVip(destination);
  return { destination: named, hboneMtlsPort: gateway.hboneMtlsPort };
}

function dumpPod(pod: PodFacts, connections: readonly ConnectionFacts[]): Json {
  const own = connections.filter((one) => one.podUid === pod.uid);
  const dump = (one: ConnectionFacts): Json => ({
    src: one.source,
    originalDst: one.originalDst,
    actualDst: one.nextHop,
    protocol: one.hop === 'hbone' ? 'HBONE' : 'TCP',
  });
  return {
    connections: {
      inbound: own.filter((one) => one.direction === 'inbound').map(dump),
      outbound: own.filter((one) => one.direction === 'outbound').map(dump),
    },
    info: {
      name: pod.name,
      namespace: pod.namespace,
      serviceAccount: pod.serviceAccount,
      trustDomain: pod.trustDomain,
    },
    state: pod.state === 'captured' ? 'Up' : 'Pending',
  };
}

function dumpVersion(version: VersionFacts): Json {
  return {
    buildProfile: 'release',
    buildStatus: 'Clean',
    cryptoProvider: `openssl-${version.openssl}`,
    gitRevision: version.groundwire,
    istioVersion: 'unknown',
    nodeVersion: version.node,
    version: version.groundwire,
  };
}

const IP_FAMILIES: Readonly<Record<IpFamilies, { readonly ipFamilies?: string }>> = {
  AUTOMATIC: {},
  IPV4_ONLY: { ipFamilies: 'IPv4' },
  IPV6_ONLY: { ipFamilies: 'IPv6' },
  DUAL: { ipFamilies: 'Dual' },
};

function dumpPorts(ports: readonly ServicePort[]): Json {
  return Object.fromEntries(ports.map((port) => [String(port.servicePort), port.targetPort]));
}

function formatVip(address: { readonly network: string; readonly address: string }): string {
  return `${address.network}/${address.address}`;
}

/** `WORKLOAD_SELECTOR` → `WorkloadSelector`, `exact` → `Exact`. */
function pascal(text: string): string {
  return text
    .toLowerCase()
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

function nonEmptyList(key: string, values: readonly Json[]): { readonly [key: string]: Json } {
  return values.length === 0 ? {} : { [key]: values };
}

function byNamespaceAndName<T extends { readonly namespace: string; readonly name: string }>(a: T, b: T): number {
  return a.namespace === b.namespace ? compare(a.name, b.name) : compare(a.namespace, b.namespace);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
