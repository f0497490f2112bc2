// SPDX-License-Identifier: Apache-2.0

/** What every object carries, reduced to what the mesh reads. Times are milliseconds since the epoch. */
export interface ObjectMeta {
  readonly name: string;
  /** "" for kinds without a namespace. */
  readonly namespace: string;
  /** The API server's uid; "" where none was given. */
  readonly uid: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly createdMs: number;
  readonly deleting: boolean;
  /** The owner marked `controller: true`. */
  readonly controller?: { readonly kind: string; readonly name: string };
}

/** The name of an object in messages: `Kind namespace/name`, or `Kind name` for kinds without a namespace. */
export function objectKey(kind: string, meta: Pick<ObjectMeta, 'namespace' | 'name'>): string {
  return meta.namespace === '' ? `${kind} ${meta.name}` : `${kind} ${meta.namespace}/${meta.name}`;
}

/** The order of names: by their code units, whatever the language of the machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
