// SPDX-License-Identifier: Apache-2.0

import { type NamespaceObject, objectKey, type PodObject } from './objects.ts';
import type { Notice } from './problem.ts';

export type SameNodeMode = 'handoff' | 'tunnel';
export type ExistingConnections = 'keep' | 'close';

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
  readonly notices: readonly Notice[];
}

const MODE = 'istio.io/dataplane-mode';

/**
 * Decides whether a pod belongs on the mesh. Pure.
 *
 * Order: what can never be captured, the pod's `none`, the pod's `ambient`, the namespace's label, off. On a namespace
 * `istio-injection=enabled` counts as `ambient`, with a notice, unless `dataplane-mode` says something of its own.
 * Source: istio cni/pkg/util/podutil.go, istio-cni chart values @86c9f01.
 */
export function decideCapture(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  settings: EnrolmentSettings = DEFAULT_ENROLMENT_SETTINGS,
): CaptureDecision {
  const notices: Notice[] = [];
  const note = (code: Notice['code'], message: string): void => {
    notices.push({ code, object: objectKey('Pod', pod.meta), message });
  };
  const bypass = pod.meta.annotations.get('ambient.istio.io/bypass-inbound-capture');
  if (bypass === 'true') {
    note('ANNOTATION_IGNORED', 'ambient.istio.io/bypass-inbound-capture is not supported: inbound is captured too');
  }
  const choose = <T extends string>(key: string, allowed: readonly T[], fallback: T): T => {
    for (const [where, text] of [
      ['pod', pod.meta.annotations.get(key)],
      ['namespace', namespace?.meta.annotations.get(key)],
    ] as const) {
      const value = allowed.find((candidate) => candidate === text);
      if (value !== undefined) return value;
      if (text !== undefined)
        note('ANNOTATION_IGNORED', `${key}=${text} on the ${where} is none of ${allowed.join(', ')}`);
    }
    return fallback;
  };
  return {
    ...decideMembership(pod, namespace, settings, note),
    sameNodeMode: choose('groundwire.io/same-node-mode', ['handoff', 'tunnel'], settings.sameNodeMode),
    existingConnections: choose('groundwire.io/existing-connections', ['keep', 'close'], settings.existingConnections),
    dnsCapture:
      choose('ambient.istio.io/dns-capture', ['true', 'false'], settings.dnsCapture ? 'true' : 'false') === 'true',
    notices,
  };
}

function decideMembership(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  settings: EnrolmentSettings,
  note: (code: Notice['code'], message: string) => void,
): Pick<CaptureDecision, 'captured' | 'reason'> {
  const never = reasonNever(pod, settings);
  if (never !== undefined) return { captured: false, reason: never };
  const own = pod.meta.labels.get(MODE);
  if (own === 'none') return { captured: false, reason: `label ${MODE}=none on the pod` };
  if (own === 'ambient') return { captured: true, reason: `label ${MODE}=ambient on the pod` };
  const labels = namespace?.meta.labels;
  const inherited = labels?.get(MODE);
  if (inherited === 'ambient') return { captured: true, reason: `label ${MODE}=ambient on the namespace` };
  if (inherited === undefined && labels?.get('istio-injection') === 'enabled') {
    note(
      'ALIAS',
      `istio-injection=enabled on namespace ${pod.meta.namespace} is taken as ${MODE}=ambient; nothing is injected`,
    );
    return { captured: true, reason: 'label istio-injection=enabled on the namespace' };
  }
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
