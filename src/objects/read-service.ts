// SPDX-License-Identifier: Apache-2.0

import { parseAddress } from '../model/address.ts';
import { resolveAppProtocol } from './app-protocol.ts';
import type { ObjectMeta } from './object-meta.ts';
import { isPort, type ObjectReader, PORT_RANGE } from './object-reader.ts';
import type { EndpointSliceObject, ServiceObject, ServiceObjectPort, SliceEndpoint } from './objects.ts';
import { PROTOCOLS } from './read-pod.ts';

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;

/** Reads a Service. */
export function readService(object: ObjectReader, meta: ObjectMeta): ServiceObject {
  const spec = object.requiredObject('spec');
  const listed = spec.strings('clusterIPs');
  const single = spec.string('clusterIP') ?? '';
  const texts = listed.length > 0 ? listed : single === '' ? [] : [single];
  const headless = texts.includes('None');
  const clusterIps = headless ? [] : readClusterIps(spec, texts);
  return {
    kind: 'Service',
    meta,
    type: spec.oneOf('type', TYPES) ?? 'ClusterIP',
    headless,
    clusterIps,
    ipFamilies: spec.strings('ipFamilies').filter((family) => family === 'IPv4' || family === 'IPv6'),
    ports: readServicePorts(spec),
    selector: spec.stringMap('selector'),
    internalTrafficLocal: spec.oneOf('internalTrafficPolicy', ['Cluster', 'Local']) === 'Local',
    trafficDistribution: spec.string('trafficDistribution') ?? '',
    publishNotReadyAddresses: spec.boolean('publishNotReadyAddresses') ?? false,
  };
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
  const addresses: string[] = [];
  for (const text of endpoint.strings('addresses')) {
    const address = addressType === 'FQDN' ? text : parseAddress(text);
    if (address === undefined) endpoint.reject('addresses', `not an IP address: "${text}"`);
    else addresses.push(address);
  }
  return {
    addresses,
    // Kubernetes: nothing said is to be taken as ready.
    ready: conditions?.boolean('ready') ?? true,
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
