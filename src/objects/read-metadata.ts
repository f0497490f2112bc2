// SPDX-License-Identifier: Apache-2.0

import { wrongWithName, wrongWithNamespace } from '../model/kubernetes-name.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { ObjectReader } from './object-reader.ts';

/** Whether a text can be the name of an object. */
export function isObjectName(text: string): boolean {
  return wrongWithName(text) === undefined;
}

/** Whether a text can be the name of a namespace. */
function isNamespaceName(text: string): boolean {
  return wrongWithNamespace(text) === undefined;
}

/** Reads `metadata`. A namespaced object without a namespace is in `default`, as with kubectl. */
export function readMetadata(object: ObjectReader, namespaced: boolean): ObjectMeta {
  const reader = object.requiredObject('metadata');
  const name = reader.requiredString('name');
  if (name !== '' && !isObjectName(name)) reader.reject('name', `not a valid object name: "${name}"`);
  const namespace = namespaced ? (reader.string('namespace') ?? 'default') : '';
  if (namespaced && !isNamespaceName(namespace)) {
    reader.reject('namespace', `not a valid namespace name: "${namespace}"`);
  }
  const controller = reader.objects('ownerReferences').find((owner) => owner.boolean('controller') === true);
  return {
    name,
    namespace,
    uid: reader.string('uid') ?? '',
    labels: reader.stringMap('labels'),
    annotations: reader.stringMap('annotations'),
    createdMs: readTime(reader, 'creationTimestamp'),
    deleting: reader.has('deletionTimestamp'),
    ...(controller && {
      controller: { kind: controller.requiredString('kind'), name: controller.requiredString('name') },
    }),
  };
}

function readTime(reader: ObjectReader, key: string): number {
  const text = reader.string(key);
  if (text === undefined) return 0;
  const timeMs = Date.parse(text);
  if (!Number.isNaN(timeMs)) return timeMs;
  reader.reject(key, `not a time: "${text}"`);
  return 0;
}
