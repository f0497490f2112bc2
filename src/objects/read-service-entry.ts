// SPDX-License-Identifier: Apache-2.0

import { parseAddress, parseAddressRange } from '../model/address.ts';
import type { Locality } from '../model/workload.ts';
import { resolveAppProtocol } from './app-protocol.ts';
import type { ObjectMeta } from './object-meta.ts';
import { isPort, type ObjectReader, PORT_RANGE } from './object-reader.ts';
import type { MachineSpec, Protocol, ServiceEntryObject, ServiceObjectPort, WorkloadEntryObject } from './objects.ts';

const RESOLUTIONS = ['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'] as const;
// A uint32 on the wire.
const WEIGHT_MAX = 0xffff_ffff;
const PORT_NAME = /^[a-z0-9A-Z]([-a-z0-9A-Z]*[a-z0-9A-Z])?$/;

/** Reads a WorkloadEntry. */
export function readWorkloadEntry(object: ObjectReader, meta: ObjectMeta): WorkloadEntryObject {
  const spec = object.requiredObject('spec');
  return { kind: 'WorkloadEntry', meta, machine: readMachine(spec) };
}

function readMachine(spec: ObjectReader): MachineSpec {
  const address = spec.string('address') ?? '';
  const network = spec.string('network') ?? '';
  if (address === '' && network === '') spec.reject('address', 'Address is required');
  // A zone names an interface of one machine, and this address is for all of them.
  if (address.includes('%')) spec.reject('address', `an address must have no zone id: "${address}"`);
  if (address.startsWith('unix://')) checkSocketPath(spec, address.slice('unix://'.length));
  const locality = parseLocality(spec.string('locality') ?? '');
  return {
    address: parseAddress(address) ?? address,
    ports: readMachinePorts(spec),
    labels: spec.stringMap('labels'),
    network,
    serviceAccount: spec.string('serviceAccount') ?? '',
    weight: readWeight(spec),
    ...(locality && { locality }),
  };
}

function readWeight(spec: ObjectReader): number {
  const weight = spec.integer('weight') ?? 1;
  if (weight < 0 || weight > WEIGHT_MAX) spec.reject('weight', `must be between 0 and ${WEIGHT_MAX}, not ${weight}`);
  return weight;
}

function checkSocketPath(spec: ObjectReader, path: string): void {
  if (!path.startsWith('/') && !path.startsWith('@')) {
    spec.reject('address', 'UDS must be an absolute path or abstract socket');
  }
  if (path.endsWith('/')) spec.reject('address', 'UDS may not be a dir');
  if (spec.has('ports')) spec.reject('ports', 'UDS may not include ports');
}

function readMachinePorts(spec: ObjectReader): ReadonlyMap<string, number> {
  const reader = spec.object('ports');
  const ports = new Map<string, number>();
  for (const name of reader?.keys() ?? []) {
    if (!PORT_NAME.test(name)) spec.reject('ports', `Invalid value: "${name}" is not a port name`);
    const port = reader?.port(name);
    if (port !== undefined) ports.set(name, port);
  }
  return ports;
}

function parseLocality(text: string): Locality | undefined {
  if (text === '') return undefined;
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}

/** Reads a ServiceEntry. */
export function readServiceEntry(object: ObjectReader, meta: ObjectMeta): ServiceEntryObject {
  const spec = object.requiredObject('spec');
  const selector = spec.object('workloadSelector')?.stringMap('labels');
  const entry: ServiceEntryObject = {
    kind: 'ServiceEntry',
    meta,
    hosts: spec.strings('hosts'),
    addresses: spec.strings('addresses'),
    assigned: (object.object('status')?.objects('addresses') ?? []).map((item) => ({
      host: item.string('host') ?? '',
      address: parseAddress(item.string('value') ?? '') ?? '',
    })),
    ports: readEntryPorts(spec),
    resolution: spec.oneOf('resolution', RESOLUTIONS) ?? 'NONE',
    endpoints: spec.objects('endpoints').map(readMachine),
    ...(selector && { workloadSelector: selector }),
    exportTo: spec.strings('exportTo'),
    subjectAltNames: spec.strings('subjectAltNames'),
  };
  checkEntry(spec, entry);
  return entry;
}

function checkEntry(spec: ObjectReader, entry: ServiceEntryObject): void {
  if (entry.hosts.length === 0) spec.reject('hosts', 'Required value');
  if (entry.hosts.includes('*')) spec.reject('hosts', 'hostname cannot be wildcard');
  for (const [key, value] of entry.workloadSelector ?? []) {
    if (key.includes('*') || value.includes('*')) {
      spec.reject('workloadSelector', 'wildcard is not supported in selector');
    }
  }
  if (entry.workloadSelector !== undefined && entry.endpoints.length > 0) {
    spec.reject('endpoints', 'only one of WorkloadSelector or Endpoints can be set');
  }
  for (const [index, text] of entry.addresses.entries()) {
    if (text.includes('/') && entry.resolution !== 'NONE' && entry.resolution !== 'STATIC') {
      spec.reject(['addresses', index], 'CIDR addresses are allowed only for NONE/STATIC resolution types');
    }
    if (entryRange(text) === undefined) spec.reject(['addresses', index], `not an address or CIDR: "${text}"`);
  }
  if (entry.resolution === 'NONE' && entry.endpoints.length > 0)
    spec.reject('endpoints', 'NONE mode cannot set endpoints');
  const isByHost = entry.endpoints.length === 0 && entry.workloadSelector === undefined;
  if (isByHost && (entry.resolution === 'DNS' || entry.resolution === 'DNS_ROUND_ROBIN')) {
    for (const [index, host] of entry.hosts.entries()) {
      if (host.includes('*'))
        spec.reject(['hosts', index], 'hosts must be FQDN if no endpoints are provided for resolution mode DNS');
    }
  }
  if (entry.resolution === 'DYNAMIC_DNS')
    spec.note(
      'resolution',
      'NOT_ENFORCED',
      "DYNAMIC_DNS is a waypoint's to serve and this version has none: the entry is left out, and its hosts are whatever DNS says",
    );
  if (entry.resolution === 'DNS_ROUND_ROBIN' && entry.endpoints.length > 1) {
    spec.reject('endpoints', 'DNS_ROUND_ROBIN mode cannot have multiple endpoints');
  }
}

/** An entry's address or CIDR. Istio takes groups of IPv6 with any number of leading zeros. */
export function entryRange(text: string): ReturnType<typeof parseAddressRange> {
  return parseAddressRange(text.includes(':') ? text.replace(/(^|:)0+(?=[0-9a-fA-F])/g, '$1') : text);
}

function readEntryPorts(spec: ObjectReader): ServiceObjectPort[] {
  const seen = new Set<string | number>();
  return spec.objects('ports').map((reader) => {
    const name = reader.requiredString('name');
    if (!reader.has('number')) reader.reject('number', 'Required value');
    const port = reader.port('number') ?? 0;
    const targetPort = reader.integer('targetPort') ?? port;
    if (reader.has('targetPort') && !isPort(targetPort)) reader.reject('targetPort', PORT_RANGE);
    if (seen.has(name)) reader.reject('name', `Duplicate value: "${name}"`);
    if (seen.has(port)) reader.reject('number', 'port number cannot be duplicated');
    seen.add(name).add(port);
    const word = reader.string('protocol') ?? '';
    const protocol: Protocol = word.toUpperCase() === 'UDP' ? 'UDP' : 'TCP';
    return {
      name,
      port,
      protocol,
      targetPort,
      targetByName: !reader.has('targetPort'),
      appProtocol: resolveAppProtocol(protocol, name, word === '' ? undefined : word),
    };
  });
}
