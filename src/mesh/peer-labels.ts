// SPDX-License-Identifier: Apache-2.0

import type { PeerLabel } from '../model/messages.gen.ts';
import type { FlowLabels } from './flow-labels.ts';
import type { DependencyKey, MeshView } from './view.ts';

/**
 * The labels of source addresses that a change of the mesh touched, for the engine's inbound telemetry.
 *
 * Only addresses of our own network: those of another reach us through a gateway and are not what they seem.
 */
export function peerLabelsFor(
  view: MeshView,
  network: string,
  keys: Iterable<DependencyKey>,
  labels: FlowLabels,
): PeerLabel[] {
  const addresses = new Set<string>();
  const addressPrefix = `address/${network}/`;
  for (const key of keys) {
    if (key.startsWith(addressPrefix)) addresses.add(key.slice(addressPrefix.length));
    else if (key.startsWith('workload/')) {
      const workload = view.findWorkload(key.slice('workload/'.length));
      if (workload?.network === network) for (const address of workload.addresses) addresses.add(address);
    }
  }
  return Array.from(addresses, (address) => {
    const workload = view.findWorkloadByAddress(network, address);
    return { address, label: workload ? labels.internPeer(workload) : 0 };
  });
}
