// SPDX-License-Identifier: Apache-2.0

import type { ObjectMeta } from './object-meta.ts';
import { type FieldProblem, isPort, type ObjectReader, PORT_RANGE } from './object-reader.ts';
import type { MtlsMode, PeerAuthenticationObject } from './security-objects.ts';

const MODES: readonly MtlsMode[] = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'];

/** Reads a PeerAuthentication, strictly. Source: istio/api security/v1beta1/peer_authentication.proto @b8f8791. */
export function readPeerAuthentication(object: ObjectReader, meta: ObjectMeta): PeerAuthenticationObject {
  const spec = object.object('spec');
  const selector = spec === undefined ? new Map<string, string>() : readSelector(spec);
  const portLevel = spec?.object('portLevelMtls');
  if (portLevel !== undefined && selector.size === 0) spec?.reject('portLevelMtls', 'portLevelMtls requires selector');
  return {
    kind: 'PeerAuthentication',
    meta,
    selector,
    mode: readMode(spec?.object('mtls')),
    portModes: portLevel === undefined ? new Map() : readPortModes(portLevel),
  };
}

function readMode(mtls: ObjectReader | undefined): MtlsMode {
  return mtls?.oneOf('mode', MODES) ?? 'UNSET';
}

function readPortModes(portLevel: ObjectReader): ReadonlyMap<number, MtlsMode> {
  const modes = new Map<number, MtlsMode>();
  if (portLevel.keys().length === 0) portLevel.reject(undefined, 'in body should have at least 1 properties');
  for (const key of portLevel.keys()) {
    const port = Number(key);
    if (!/^[0-9]+$/.test(key)) portLevel.reject(key, `type conversion error from "${key}" to a port number`);
    else if (!isPort(port)) portLevel.reject(key, PORT_RANGE);
    modes.set(port, readMode(portLevel.requiredObject(key)));
  }
  return modes;
}

/** Reads `selector.matchLabels`, the only form that security objects know. Empty selects the whole namespace. */
export function readSelector(spec: ObjectReader): ReadonlyMap<string, string> {
  const selector = spec.object('selector');
  const labels = selector?.stringMap('matchLabels') ?? new Map<string, string>();
  for (const [key, value] of labels) {
    if (key === '') selector?.reject('matchLabels', 'a label needs a key');
    if (key.includes('*') || value.includes('*')) {
      selector?.reject(['matchLabels', key], 'wildcard is not supported in selector');
    }
  }
  return labels;
}

/** Whether a problem leaves open which workloads the object is about. */
export function concernsScope({ path }: FieldProblem): boolean {
  const [top, field] = path;
  // Of a kind or version that is not known the scope is still what it says, where that can be read.
  if (top === 'kind' || top === 'apiVersion') return false;
  if (top !== 'spec') return true;
  return field === undefined || !['mtls', 'portLevelMtls', 'action', 'rules', 'provider'].includes(String(field));
}

/** What stands for an object that cannot be understood and has no earlier version: the strictest reading of its scope. */
export function standInPeerAuthentication(
  object: PeerAuthenticationObject,
  problems: readonly FieldProblem[],
): PeerAuthenticationObject {
  return {
    ...object,
    selector: problems.some(concernsScope) ? new Map() : object.selector,
    mode: 'STRICT',
    portModes: new Map(),
    unreadable: problems[0]?.reason ?? '',
  };
}
