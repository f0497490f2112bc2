// SPDX-License-Identifier: Apache-2.0

import { parseAddress } from '../model/address.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { ObjectReader } from './object-reader.ts';
import type { ContainerPort, PodObject, PodPhase, Protocol } from './objects.ts';
import { isObjectName } from './read-metadata.ts';

export const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const PHASES: readonly PodPhase[] = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'];

/** Reads a Pod. */
export function readPod(object: ObjectReader, meta: ObjectMeta): PodObject {
  const spec = object.requiredObject('spec');
  const status = object.object('status');
  const serviceAccount = spec.string('serviceAccountName') ?? spec.string('serviceAccount') ?? 'default';
  if (!isObjectName(serviceAccount)) spec.reject('serviceAccountName', `not a valid name: "${serviceAccount}"`);
  return {
    kind: 'Pod',
    meta,
    nodeName: spec.string('nodeName') ?? '',
    serviceAccount,
    hostNetwork: spec.boolean('hostNetwork') ?? false,
    ports: readContainerPorts(spec),
    addresses: status === undefined ? [] : readPodAddresses(status),
    phase: status?.oneOf('phase', PHASES) ?? 'Unknown',
    ready: status === undefined || isReady(status),
    hostname: spec.string('hostname') ?? '',
    subdomain: spec.string('subdomain') ?? '',
  };
}

function readContainerPorts(spec: ObjectReader): ContainerPort[] {
  // An init container that restarts always is a sidecar of the pod's own, and serves ports like any other.
  const sidecars = spec.objects('initContainers').filter((container) => container.string('restartPolicy') === 'Always');
  return [...spec.objects('containers'), ...sidecars].flatMap((container) =>
    container.objects('ports').map((port) => ({
      name: port.string('name') ?? '',
      port: port.port('containerPort') ?? 0,
      protocol: port.oneOf('protocol', PROTOCOLS) ?? 'TCP',
    })),
  );
}

function readPodAddresses(status: ObjectReader): string[] {
  const listed = status.objects('podIPs').map((item) => ({ reader: item, key: 'ip', text: item.requiredString('ip') }));
  const single = status.string('podIP') ?? '';
  const all = listed.length > 0 || single === '' ? listed : [{ reader: status, key: 'podIP', text: single }];
  const addresses: string[] = [];
  for (const { reader, key, text } of all) {
    const address = parseAddress(text);
    if (address === undefined) reader.reject(key, `not an IP address: "${text}"`);
    else addresses.push(address);
  }
  return addresses;
}

// A pod that a kubelet reports always has conditions. One written by hand has none, and then its word is taken.
function isReady(status: ObjectReader): boolean {
  if (!status.has('conditions')) return true;
  return status
    .objects('conditions')
    .some((condition) => condition.string('type') === 'Ready' && condition.string('status') === 'True');
}
