// SPDX-License-Identifier: Apache-2.0

import { Buffer } from 'node:buffer';
import type { NamedPort, ServiceExtension } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import * as own from '../wire/groundwire/mesh.ts';
import { Extension } from '../wire/istio/workload.ts';

// What our control plane says beyond Istio's messages; extensions of others are passed over.

const SERVICE = 'groundwire.mesh.v1.ServiceExtension';
const WORKLOAD = 'groundwire.mesh.v1.WorkloadExtension';
const TYPE_PREFIX = 'type.googleapis.com/';
const PROTOCOLS: readonly NamedPort['protocol'][] = ['tcp', 'udp', 'sctp'];

export function encodeServiceExtension({ ports, exportTo, ...rest }: ServiceExtension): Extension {
  const message = own.ServiceExtension.fromPartial({ ...rest, ports: [...ports], exportTo: [...exportTo] });
  return pack(SERVICE, own.ServiceExtension.encode(message).finish());
}

export function encodeHostnames(hostnames: NonNullable<Workload['hostnames']>): Extension {
  // Sorted, so that the same workload always has the same bytes and so the same version.
  const sorted = [...hostnames].sort(([a], [b]) => (a < b ? -1 : 1));
  const message = own.WorkloadExtension.fromPartial({ hostnames: Object.fromEntries(sorted) });
  return pack(WORKLOAD, own.WorkloadExtension.encode(message).finish());
}

/** Throws, as every decoder of the wire does, when the bytes are no message. */
export function decodeServiceExtension(extensions: readonly Extension[]): ServiceExtension | undefined {
  const bytes = find(extensions, SERVICE);
  if (bytes === undefined) return undefined;
  const { externalName, exportTo, affinityTimeoutSeconds, ports } = own.ServiceExtension.decode(bytes);
  return {
    externalName,
    exportTo,
    affinityTimeoutSeconds,
    ports: ports.flatMap(({ name, protocol: text, port }) => {
      const protocol = PROTOCOLS.find((known) => known === text);
      return protocol === undefined ? [] : [{ name, protocol, port }];
    }),
  };
}

export function decodeHostnames(extensions: readonly Extension[]): ReadonlyMap<string, string> | undefined {
  const bytes = find(extensions, WORKLOAD);
  return bytes && new Map(Object.entries(own.WorkloadExtension.decode(bytes).hostnames));
}

function pack(name: string, bytes: Uint8Array): Extension {
  return Extension.fromPartial({ name, config: { typeUrl: TYPE_PREFIX + name, value: Buffer.from(bytes) } });
}

function find(extensions: readonly Extension[], name: string): Uint8Array | undefined {
  return extensions.find((one) => one.name === name && one.config?.typeUrl === TYPE_PREFIX + name)?.config?.value;
}
