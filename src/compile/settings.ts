// SPDX-License-Identifier: Apache-2.0

/** What the compiler needs to know beyond the objects. */
export interface CompileSettings {
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** The namespace whose policies are of the whole mesh. */
  readonly rootNamespace: string;
  readonly clusterId: string;
  readonly network: string;
  /** Where Services without a `clusterIP` get addresses from, one range a family: outside Kubernetes nobody else gives them any. */
  readonly serviceRanges: readonly string[];
  /** Where ServiceEntries without addresses get one from. */
  readonly serviceEntryRange: string;
}

/** Istio's defaults; the ranges are those of kubeadm and of Istio's own allocator. */
export const DEFAULT_COMPILE_SETTINGS: CompileSettings = {
  trustDomain: 'cluster.local',
  clusterDomain: 'cluster.local',
  rootNamespace: 'istio-system',
  clusterId: 'Kubernetes',
  network: '',
  serviceRanges: ['10.96.0.0/16', 'fd96::/112'],
  serviceEntryRange: '240.240.0.0/16',
};
