// SPDX-License-Identifier: Apache-2.0

import { formatAddress } from '../model/address.ts';
import type { ResourceRemains } from '../model/rejected-resource.ts';
import type { NetworkAddress } from '../model/service.ts';
import * as security from '../wire/istio/authorization.ts';
import * as wire from '../wire/istio/workload.ts';
import { ADDRESS_TYPE, type ResourceType } from './resource.ts';

/**
 * Reads of a rejected resource what tells whom it is about, leniently: each part that can be read counts.
 *
 * What is not known to be harmless is taken for harmful: a policy whose scope cannot be read holds in the namespace of
 * its name. Never throws.
 */
export function readRemains(type: ResourceType, name: string, bytes: Uint8Array): ResourceRemains {
  try {
    return type === ADDRESS_TYPE ? remainsOfAddress(bytes) : remainsOfPolicy(name, bytes);
  } catch {
    // Not a message at all: there is the name, and nothing else.
    return nameOnly(type, name);
  }
}

/** What is left when there is no content. */
export function nameOnly(type: ResourceType, name: string): ResourceRemains {
  return type === ADDRESS_TYPE
    ? { kind: 'workload', addresses: [] }
    : { kind: 'policy', addresses: [], scope: namespaceOf(name) };
}

function remainsOfAddress(bytes: Uint8Array): ResourceRemains {
  const { type } = wire.Address.decode(bytes);
  if (type?.$case === 'service') return { kind: 'service', addresses: type.value.addresses.flatMap(readAddress) };
  const workload = type?.value;
  // The address of a host is that of all that runs there.
  if (workload === undefined || workload.networkMode === wire.NetworkMode.HOST_NETWORK)
    return { kind: 'workload', addresses: [] };
  const { network } = workload;
  return { kind: 'workload', addresses: workload.addresses.flatMap((address) => readAddress({ network, address })) };
}

function remainsOfPolicy(name: string, bytes: Uint8Array): ResourceRemains {
  const { scope, namespace, dryRun } = security.Authorization.decode(bytes);
  if (dryRun || scope === security.Scope.WORKLOAD_SELECTOR) return { kind: 'policy', addresses: [] };
  if (scope === security.Scope.GLOBAL) return { kind: 'policy', addresses: [], scope: '' };
  return { kind: 'policy', addresses: [], scope: namespace === '' ? namespaceOf(name) : namespace };
}

function readAddress({ network, address, length }: Partial<wire.NetworkAddress>): NetworkAddress[] {
  if (address === undefined || (address.length !== 4 && address.length !== 16)) return [];
  const text = formatAddress(address);
  // A mapped address is shown as IPv4, so its prefix loses the 96 bits in front.
  const bits = length !== undefined && address.length === 16 && text.includes('.') ? length - 96 : length;
  const fits = bits !== undefined && bits >= 0 && bits <= (text.includes('.') ? 32 : 128);
  return [{ network: network ?? '', address: text, ...(fits && { prefixLength: bits }) }];
}

function namespaceOf(name: string): string {
  return name.split('/', 1)[0] ?? '';
}
