// SPDX-License-Identifier: Apache-2.0

import { CAPTURE_VALUES, INJECTION, MODE } from '../objects/mesh-keys.ts';
import type { NamespaceObject, PodObject } from '../objects/objects.ts';

export type SameNodeMode = (typeof CAPTURE_VALUES)['groundwire.io/same-node-mode'][number];
export type ExistingConnections = (typeof CAPTURE_VALUES)['groundwire.io/existing-connections'][number];

/** What the mesh as a whole says where neither pod nor namespace does. */
export interface EnrolmentSettings {
  readonly excludedNamespaces: readonly string[];
  readonly sameNodeMode: SameNodeMode;
  readonly existingConnections: ExistingConnections;
  readonly dnsCapture: boolean;
}

export const DEFAULT_ENROLMENT_SETTINGS: EnrolmentSettings = {
  excludedNamespaces: ['kube-system'],
  sameNodeMode: 'handoff',
  existingConnections: 'keep',
  dnsCapture: true,
};

/** Whether and how a pod is captured. */
export interface CaptureDecision {
  readonly captured: boolean;
  /** Why, in words for status pages and logs. */
  readonly reason: string;
  readonly sameNodeMode: SameNodeMode;
  readonly existingConnections: ExistingConnections;
  readonly dnsCapture: boolean;
}

/**
 * Decides whether a pod belongs on the mesh. Pure.
 *
 * Order: what can never be captured, the pod's `none`, the pod's `ambient`, the namespace's label, off. On a namespace
 * `istio-injection=enabled` counts as `ambient`, unless `dataplane-mode` says something of its own. What is misspelt is
 * told where it was written (mesh-keys.ts), and passed over here.
 * Source: istio cni/pkg/util/podutil.go, istio-cni chart values @86c9f01.
 */
export function decideCapture(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  settings: EnrolmentSettings = DEFAULT_ENROLMENT_SETTINGS,
): CaptureDecision {
  const choose = <K extends keyof typeof CAPTURE_VALUES>(key: K): (typeof CAPTURE_VALUES)[K][number] | undefined => {
    const said = [pod.meta.annotations.get(key), namespace?.meta.annotations.get(key)];
    const allowed: readonly (typeof CAPTURE_VALUES)[K][number][] = CAPTURE_VALUES[key];
    return said.map((text) => allowed.find((value) => value === text)).find((value) => value !== undefined);
  };
  const dnsCapture = choose('ambient.istio.io/dns-capture');
  return {
    ...decideMembership(pod, namespace, settings),
    sameNodeMode: choose('groundwire.io/same-node-mode') ?? settings.sameNodeMode,
    existingConnections: choose('groundwire.io/existing-connections') ?? settings.existingConnections,
    dnsCapture: dnsCapture === undefined ? settings.dnsCapture : dnsCapture === 'true',
  };
}

function decideMembership(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  settings: EnrolmentSettings,
): Pick<CaptureDecision, 'captured' | 'reason'> {
  const never = reasonNever(pod, settings);
  if (never !== undefined) return { captured: false, reason: never };
  const own = pod.meta.labels.get(MODE);
  if (own === 'none') return { captured: false, reason: `label ${MODE}=none on the pod` };
  if (own === 'ambient') return { captured: true, reason: `label ${MODE}=ambient on the pod` };
  const labels = namespace?.meta.labels;
  const inherited = labels?.get(MODE);
  if (inherited === 'ambient') return { captured: true, reason: `label ${MODE}=ambient on the namespace` };
  if (inherited === undefined && labels?.get(INJECTION) === 'enabled')
    return { captured: true, reason: `label ${INJECTION}=enabled on the namespace` };
  if (inherited !== undefined) return { captured: false, reason: `label ${MODE}=${inherited} on the namespace` };
  return { captured: false, reason: `no label ${MODE}=ambient on pod or namespace` };
}

function reasonNever(pod: PodObject, settings: EnrolmentSettings): string | undefined {
  if (pod.hostNetwork) return 'hostNetwork: the pod shares its network with the node';
  if (pod.meta.annotations.has('sidecar.istio.io/status')) return 'a sidecar already owns the traffic of the pod';
  if (settings.excludedNamespaces.includes(pod.meta.namespace)) return `namespace ${pod.meta.namespace} is excluded`;
  if (pod.phase === 'Succeeded' || pod.phase === 'Failed') return `the pod has ended (${pod.phase})`;
  return undefined;
}
