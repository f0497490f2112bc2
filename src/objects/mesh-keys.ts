// SPDX-License-Identifier: Apache-2.0

// The labels and annotations that mean something here. A key or value that is only nearly one of them is accepted by
// Kubernetes and does nothing: its author is told.

import { isNear } from '../model/edit-distance.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { FieldNote } from './object-reader.ts';
import type { MeshKind } from './objects.ts';
import { shown } from './problem.ts';

/** Takes a namespace or a pod into the mesh. */
export const MODE = 'istio.io/dataplane-mode';
/** On a namespace, what sidecar meshes have in the place of `MODE`. */
export const INJECTION = 'istio-injection';

/** What the annotations of namespaces and pods can say of capture. */
export const CAPTURE_VALUES = {
  'groundwire.io/same-node-mode': ['handoff', 'tunnel'],
  'groundwire.io/existing-connections': ['keep', 'close'],
  'ambient.istio.io/dns-capture': ['true', 'false'],
} as const;

interface MeshKey {
  readonly key: string;
  readonly on: 'labels' | 'annotations';
  /** Absent: any. Checked on namespaces and pods. */
  readonly values?: readonly string[];
}

const KEYS: readonly MeshKey[] = [
  { key: MODE, on: 'labels', values: ['ambient', 'none'] },
  { key: INJECTION, on: 'labels', values: ['enabled', 'disabled'] },
  ...Object.entries(CAPTURE_VALUES).map(([key, values]) => ({ key, on: 'annotations' as const, values })),
  ...[
    'istio.io/use-waypoint',
    'istio.io/use-waypoint-namespace',
    'istio.io/ingress-use-waypoint',
    'istio.io/waypoint-for',
    'networking.istio.io/tunnel',
    'service.istio.io/workload-name',
    'service.istio.io/canonical-name',
    'service.istio.io/canonical-revision',
    'topology.istio.io/network',
    'topology.istio.io/subzone',
  ].map((key) => ({ key, on: 'labels' as const })),
  ...[
    'istio.io/dry-run',
    'ambient.istio.io/redirection',
    'ambient.istio.io/bypass-inbound-capture',
    'networking.istio.io/traffic-distribution',
    'networking.istio.io/exportTo',
  ].map((key) => ({ key, on: 'annotations' as const })),
];

const DOMAINS = ['istio.io', 'groundwire.io'] as const;
const DISTANCE_MAX = 2;
// `istio.io/dns-capture` for `ambient.istio.io/dns-capture`; shorter names are too much alike.
const NAME_ALONE_MIN = 8;

/** What is to be said of the labels and annotations of one object. */
export function noteKeys(kind: MeshKind, { labels, annotations }: ObjectMeta): FieldNote[] {
  const notes: FieldNote[] = [];
  for (const [on, pairs] of Object.entries({ labels, annotations })) {
    for (const [key, value] of pairs) {
      const note = on === 'labels' && key === INJECTION ? injectionNote(kind, value, labels) : undefined;
      const found = note ?? keyNote(kind, on, key, value);
      if (found !== undefined) notes.push({ path: ['metadata', on, key], ...found });
    }
  }
  return notes;
}

type Note = Omit<FieldNote, 'path'>;

function injectionNote(kind: MeshKind, value: string, labels: ReadonlyMap<string, string>): Note | undefined {
  if (kind !== 'Namespace' || value !== 'enabled') return undefined;
  const mode = labels.get(MODE);
  if (mode === undefined)
    return { code: 'ALIAS', message: `${INJECTION}=enabled is taken as ${MODE}=ambient; nothing is injected` };
  return {
    code: 'NO_EFFECT',
    message: `${INJECTION}=enabled has no effect beside ${MODE}=${shown(mode)}; nothing is injected`,
  };
}

function keyNote(kind: MeshKind, on: string, key: string, value: string): Note | undefined {
  const known = KEYS.find((one) => one.key === key);
  if (known === undefined) {
    const meant = findMeant(key);
    if (meant === undefined) return undefined;
    const values = meant.values === undefined ? '' : ` (${meant.values.join(', ')})`;
    return { code: 'KEY_UNKNOWN', message: `${shown(key)} means nothing here; did you mean ${meant.key}${values}?` };
  }
  if (known.on !== on) return { code: 'KEY_UNKNOWN', message: `${key} is read from ${known.on}, not from ${on}` };
  if (key === 'ambient.istio.io/bypass-inbound-capture' && value === 'true')
    return { code: 'ANNOTATION_IGNORED', message: `${key} is not supported: inbound is captured too` };
  const applies = kind === 'Namespace' || kind === 'Pod';
  if (!applies || known.values === undefined || known.values.includes(value)) return undefined;
  return { code: 'VALUE_UNKNOWN', message: `${key}=${shown(value)} has no effect; known: ${known.values.join(', ')}` };
}

/** The key of ours that is nearest to one that is not, if it is near enough. */
function findMeant(key: string): MeshKey | undefined {
  const text = key.toLowerCase();
  const slash = text.indexOf('/');
  const isOurs = DOMAINS.some((domain) =>
    isNear(text.slice(0, slash).split('.').slice(-2).join('.'), domain, DISTANCE_MAX),
  );
  if (slash < 0 ? !text.startsWith('istio') : !isOurs) return undefined;
  const name = text.slice(slash + 1);
  const byText = KEYS.find((one) => isNear(text, one.key, DISTANCE_MAX));
  if (byText !== undefined || name.length < NAME_ALONE_MIN) return byText;
  return KEYS.find((one) => name === one.key.slice(one.key.indexOf('/') + 1));
}
