// SPDX-License-Identifier: Apache-2.0

import type { PodSpec } from '../pods/pod.ts';
import { HttpError } from './http.ts';

// As Kubernetes takes them; what passes here goes into file names, link hashes and the control plane's store.
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const ENTRIES_MAX = 256;

/** The body of `POST /v1/pods`, checked field by field; throws `HttpError` 400 naming the field. */
export function parsePodRequest(body: unknown): { readonly spec: PodSpec; readonly holderPid: number } {
  const fields = asObject(body, 'the body');
  const known = ['namespace', 'name', 'serviceAccount', 'labels', 'annotations', 'ports', 'holderPid'];
  for (const key of Object.keys(fields)) {
    if (!known.includes(key))
      throw new HttpError(400, `field ${JSON.stringify(key)} is not known; known are ${known.join(', ')}`);
  }
  const holderPid = fields['holderPid'];
  if (typeof holderPid !== 'number' || !Number.isSafeInteger(holderPid) || holderPid < 1) {
    throw new HttpError(400, 'field holderPid must be the id of the process that holds the pod');
  }
  const spec: PodSpec = {
    namespace: asName(fields['namespace'], 'namespace', NAMESPACE),
    name: asName(fields['name'], 'name', NAME),
    serviceAccount: asName(fields['serviceAccount'], 'serviceAccount', NAME),
    labels: asStrings(fields['labels'], 'labels'),
    annotations: asStrings(fields['annotations'], 'annotations'),
    ports: asPorts(fields['ports']),
  };
  return { spec, holderPid };
}

function asObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new HttpError(400, `${what} must be an object`);
  if (Object.keys(value).length > ENTRIES_MAX) throw new HttpError(400, `${what} has more than ${ENTRIES_MAX} entries`);
  return value as Readonly<Record<string, unknown>>;
}

function asName(value: unknown, field: string, form: RegExp): string {
  if (typeof value === 'string' && form.test(value)) return value;
  throw new HttpError(
    400,
    `field ${field} must be a name: lower-case letters, digits and "-", beginning and ending with a letter or digit`,
  );
}

function asStrings(value: unknown, field: string): Readonly<Record<string, string>> {
  const entries = Object.entries(asObject(value ?? {}, `field ${field}`)).map(([key, one]): [string, string] => {
    if (typeof one !== 'string') throw new HttpError(400, `field ${field}.${key} must be text`);
    return [key, one];
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
