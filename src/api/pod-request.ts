// SPDX-License-Identifier: Apache-2.0

import { wrongWithKey, wrongWithLabelValue, wrongWithName, wrongWithNamespace } from '../model/kubernetes-name.ts';
import type { PodSpec } from '../pods/pod.ts';
import { HttpError } from './http.ts';

type Wrong = (text: string) => string | undefined;

const ENTRIES_MAX = 256;

/**
 * The body of `POST /v1/pods`, checked field by field; throws `HttpError` 400 naming the field.
 *
 * As Kubernetes takes it: what passes here goes into file names, link hashes and the control plane's store.
 */
export function parsePodRequest(body: unknown): { readonly spec: PodSpec; readonly holderPid: number } {
  const fields = asObject(body, 'the body');
  const known = ['namespace', 'name', 'serviceAccount', 'labels', 'annotations', 'ports', 'subdomain', 'holderPid'];
  for (const key of Object.keys(fields)) {
    if (!known.includes(key))
      throw new HttpError(400, `field ${JSON.stringify(key)} is not known; known are ${known.join(', ')}`);
  }
  const holderPid = fields['holderPid'];
  if (typeof holderPid !== 'number' || !Number.isSafeInteger(holderPid) || holderPid < 1) {
    throw new HttpError(400, 'field holderPid must be the id of the process that holds the pod');
  }
  const subdomain = fields['subdomain'];
  const spec: PodSpec = {
    namespace: asText(fields['namespace'], 'namespace', wrongWithNamespace),
    name: asText(fields['name'], 'name', wrongWithName),
    serviceAccount: asText(fields['serviceAccount'], 'serviceAccount', wrongWithName),
    labels: asStrings(fields['labels'], 'labels', wrongWithLabelValue),
    annotations: asStrings(fields['annotations'], 'annotations'),
    ports: asPorts(fields['ports']),
    ...(subdomain !== undefined && { subdomain: asText(subdomain, 'subdomain', wrongWithNamespace) }),
  };
  return { spec, holderPid };
}

function asObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new HttpError(400, `${what} must be an object`);
  if (Object.keys(value).length > ENTRIES_MAX) throw new HttpError(400, `${what} has more than ${ENTRIES_MAX} entries`);
  return value as Readonly<Record<string, unknown>>;
}

function asText(value: unknown, field: string, wrongWith: Wrong): string {
  if (typeof value !== 'string') throw new HttpError(400, `field ${field} must be text`);
  const wrong = wrongWith(value);
  if (wrong !== undefined) throw new HttpError(400, `field ${field} ${wrong}`);
  return value;
}

function asStrings(
  value: unknown,
  field: string,
  wrongWith: Wrong = () => undefined,
): Readonly<Record<string, string>> {
  const entries = Object.entries(asObject(value ?? {}, `field ${field}`)).map(([key, one]): [string, string] => {
    const wrongKey = wrongWithKey(key);
    if (wrongKey !== undefined)
      throw new HttpError(400, `field ${field} has the key ${JSON.stringify(key)}: ${wrongKey}`);
    return [key, asText(one, `${field}.${key}`, wrongWith)];
  });
  return Object.fromEntries(entries);
}

function asPorts(value: unknown): Readonly<Record<string, number>> {
  const entries = Object.entries(asObject(value ?? {}, 'field ports')).map(([key, one]): [string, number] => {
    if (typeof one !== 'number' || !Number.isInteger(one) || one < 1 || one > 65_535) {
      throw new HttpError(400, `field ports.${key} must be a port from 1 to 65535`);
    }
    return [key, one];
  });
  return Object.fromEntries(entries);
}
