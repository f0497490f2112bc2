// SPDX-License-Identifier: Apache-2.0

import { parseAddress } from '../model/address.ts';
import { wrongWithName } from '../model/kubernetes-name.ts';
import { resolveAppProtocol } from './app-protocol.ts';
import type { ObjectMeta } from './object-meta.ts';
import { isPort, type ObjectReader, PORT_RANGE } from './object-reader.ts';
import type { EndpointSliceObject, IpFamily, ServiceObject, ServiceObjectPort, SliceEndpoint } from './objects.ts';
import { shown } from './problem.ts';
import { PROTOCOLS } from './read-pod.ts';

const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const CONTROLLERS: readonly string[] = ['endpointslice-controller.k8s.io', 'endpointslicemirroring-controller.k8s.io'];
const EXPORT_TO = 'networking.istio.io/exportTo';
const AFFINITY_SECONDS_DEFAULT = 10_800;
const AFFINITY_SECONDS_MAX = 86_400;
const FAMILY_POLICIES = ['SingleStack', 'PreferDualStack', 'RequireDualStack'] as const;
const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;

/** Reads a Service. */
export function readService(object: ObjectReader, meta: ObjectMeta): ServiceObject {
  const spec = object.requiredObject('spec');
  const listed = spec.strings('clusterIPs');
  const single = spec.string('clusterIP') ?? '';
  const texts = listed.length > 0 ? listed : single === '' ? [] : [single];
  const headless = texts.includes('None');
  const clusterIps = headless ? [] : readClusterIps(spec, texts);
  const type = spec.oneOf('type', TYPES) ?? 'ClusterIP';
  return {
    kind: 'Service',
    meta,
    type,
    headless,
    clusterIps,
    ipFamilies: readFamilies(spec),
    ipFamilyPolicy: spec.oneOf('ipFamilyPolicy', FAMILY_POLICIES) ?? 'SingleStack',
    externalName: type === 'ExternalName' ? readExternalName(spec) : '',
    affinityTimeoutSeconds: readAffinity(spec),
    exportTo: (meta.annotations.get(EXPORT_TO) ?? '').split(',').flatMap((word) => word.trim() || []),
    ports: readServicePorts(spec),
    selector: spec.stringMap('selector'),
    internalTrafficLocal: spec.oneOf('internalTrafficPolicy', ['Cluster', 'Local']) === 'Local',
    trafficDistribution: spec.string('trafficDistribution') ?? '',
    publishNotReadyAddresses: spec.boolean('publishNotReadyAddresses') ?? false,
  };
}

function readFamilies(spec: ObjectReader): IpFamily[] {
  const families = spec.strings('ipFamilies');
  for (const [index, family] of families.entries()) {
    if (!isFamily(family)) spec.reject(['ipFamilies', index], `Unsupported value: "${family}"; one of IPv4, IPv6`);
  }
  if (new Set(families).size < families.length) spec.reject('ipFamilies', 'names one family twice');
  return families.filter(isFamily);
}

function isFamily(text: string): text is IpFamily {
  return text === 'IPv4' || text === 'IPv6';
}

function readExternalName(spec: ObjectReader): string {
  const name = spec.requiredString('externalName').toLowerCase().replace(/\.$/, '');
  if (name !== '' && wrongWithName(name) !== undefined)
    spec.reject('externalName', `not a host name: "${shown(name)}"`);
  return name;
}

/** Kubernetes' bounds and default. */
function readAffinity(spec: ObjectReader): number {
  const clientIp = spec.object('sessionAffinityConfig')?.object('clientIP');
  const seconds = clientIp?.integer('timeoutSeconds') ?? AFFINITY_SECONDS_DEFAULT;
  if (seconds < 1 || seconds > AFFINITY_SECONDS_MAX)
    clientIp?.reject('timeoutSeconds', `must be between 1 and ${AFFINITY_SECONDS_MAX}, not ${seconds}`);
  return spec.oneOf('sessionAffinity', ['None', 'ClientIP']) === 'ClientIP' ? seconds : 0;
}

function readClusterIps(spec: ObjectReader, texts: readonly string[]): string[] {
  const addresses: string[] = [];
  for (const text of texts) {
    const address = parseAddress(text);
    if (address === undefined) spec.reject('clusterIP', `not an IP address: "${text}"`);
    else addresses.push(address);
  }
  return addresses;
}

function readServicePorts(spec: ObjectReader): ServiceObjectPort[] {
  const seen = new Set<string>();
  return spec.objects('ports').map((reader) => {
    const name = reader.string('name') ?? '';
    const protocol = reader.oneOf('protocol', PROTOCOLS) ?? 'TCP';
    if (!reader.has('port')) reader.reject('port', 'Required value');
    const port = reader.port('port') ?? 0;
    const targetPort = reader.stringOrInteger('targetPort') ?? port;
    if (typeof targetPort === 'number' && reader.has('targetPort') && !isPort(targetPort)) {
      reader.reject('targetPort', PORT_RANGE);
    }
    for (const key of [`name ${name}`, `port ${port}/${protocol}`]) {
      if (seen.has(key) && key !== 'name ') reader.reject(undefined, `Duplicate value: ${key}`);
      seen.add(key);
    }
    return {
      name,
      port,
      protocol,
      targetPort,
      targetByName: false,
      appProtocol: resolveAppProtocol(protocol, name, reader.string('appProtocol')),
    };
  });
}

/** Reads an EndpointSlice. */
export function readEndpointSlice(object: ObjectReader, meta: ObjectMeta): EndpointSliceObject {
  const addressType = object.oneOf('addressType', ['IPv4', 'IPv6', 'FQDN']);
  if (!object.has('addressType')) object.reject('addressType', 'Required value');
  return {
    kind: 'EndpointSlice',
    meta,
    serviceName: meta.labels.get('kubernetes.io/service-name') ?? '',
    managed: CONTROLLERS.includes(meta.labels.get(MANAGED_BY) ?? ''),
    addressType: addressType ?? 'FQDN',
    ports: object.objects('ports').map((port) => ({
      name: port.string('name') ?? '',
      port: port.port('port') ?? 0,
      protocol: port.oneOf('protocol', PROTOCOLS) ?? 'TCP',
    })),
    endpoints: object.objects('endpoints').map((endpoint) => readEndpoint(endpoint, addressType ?? 'FQDN')),
  };
}

function readEndpoint(endpoint: ObjectReader, addressType: EndpointSliceObject['addressType']): SliceEndpoint {
  const conditions = endpoint.object('conditions');
  const target = endpoint.object('targetRef');
  const ready = conditions?.boolean('ready') ?? true;
  const addresses: string[] = [];
  for (const text of endpoint.strings('addresses')) {
    const address = addressType === 'FQDN' ? text : parseAddress(text);
    if (address === undefined) endpoint.reject('addresses', `not an IP address: "${text}"`);
    else addresses.push(address);
  }
  return {
    addresses,
    // Kubernetes: nothing said is to be taken as ready.
    ready,
    terminating: conditions?.boolean('terminating') ?? false,
    serving: conditions?.boolean('serving') ?? ready,
    hostname: endpoint.string('hostname') ?? '',
    ...(target && {
      targetRef: {
        kind: target.string('kind') ?? '',
        name: target.string('name') ?? '',
        namespace: target.string('namespace') ?? '',
        uid: target.string('uid') ?? '',
      },
    }),
  };
}
