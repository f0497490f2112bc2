// SPDX-License-Identifier: Apache-2.0

import type { MeshKind } from '../objects/objects.ts';
import type { ApiObject } from './reflector.ts';

type Mapping = Readonly<Record<string, unknown>>;

// Whole objects of others, as `kubectl apply` keeps them beside each object.
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const METADATA = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'labels'] as const;

/**
 * An object without what the mesh does not look at: of the 8 KiB of a pod, 1 is left.
 *
 * What a user writes for the mesh (policies, entries, Services) stays whole, so that each field of it is served or told.
 */
export function lean(kind: MeshKind, object: ApiObject): unknown {
  const { metadata, spec, status, ...rest } = object as unknown as Mapping;
  // An item of a list does not name its kind by itself.
  const head = { apiVersion: rest['apiVersion'], kind, metadata: leanMetadata(mapping(metadata)) };
  if (kind === 'Namespace' || kind === 'Node' || kind === 'ServiceAccount') return head;
  if (kind === 'Pod') return { ...head, spec: leanPodSpec(mapping(spec)), status: leanPodStatus(mapping(status)) };
  return { ...rest, ...head, ...(spec !== undefined && { spec }), ...(status !== undefined && { status }) };
}

function leanMetadata(metadata: Mapping): Mapping {
  const annotations = Object.fromEntries(
    Object.entries(mapping(metadata['annotations'])).filter(([key]) => key !== LAST_APPLIED),
  );
  const owner = list(metadata['ownerReferences']).find(({ controller }) => controller === true);
  return {
    ...pick(metadata, METADATA),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(owner !== undefined && { ownerReferences: [pick(owner, ['kind', 'name', 'controller'])] }),
  };
}

function leanPodSpec(spec: Mapping): Mapping {
  const containers = (key: string): Mapping[] =>
    list(spec[key]).map((container) => pick(container, ['name', 'ports', 'restartPolicy']));
  const sidecars = containers('initContainers').filter(({ restartPolicy }) => restartPolicy === 'Always');
  return {
    ...pick(spec, ['nodeName', 'serviceAccountName', 'hostNetwork', 'hostname', 'subdomain']),
    containers: containers('containers'),
    ...(sidecars.length > 0 && { initContainers: sidecars }),
  };
}

function leanPodStatus(status: Mapping): Mapping {
  const conditions = list(status['conditions'])
    .filter(({ type }) => type === 'Ready')
    .map((condition) => pick(condition, ['type', 'status']));
  return {
    ...pick(status, ['phase', 'podIP', 'podIPs']),
    // A pod without conditions counts as ready, which one that a kubelet has not looked at yet is not.
    conditions: conditions.length > 0 ? conditions : [{ type: 'Ready', status: 'False' }],
  };
}

function pick(of: Mapping, keys: readonly string[]): Mapping {
  return Object.fromEntries(keys.flatMap((key) => (of[key] === undefined ? [] : [[key, of[key]]])));
}

function list(value: unknown): Mapping[] {
  return Array.isArray(value) ? value.map(mapping) : [];
}

function mapping(value: unknown): Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Mapping) : {};
}
