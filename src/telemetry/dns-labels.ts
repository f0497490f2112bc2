// SPDX-License-Identifier: Apache-2.0

/** Istio's labels of DNS metrics, in its order. */
export const DNS_LABELS = [
  'request_query_type',
  'request_protocol',
  'source_canonical_service',
  'source_canonical_revision',
] as const;

export type DnsLabel = (typeof DNS_LABELS)[number];
export type DnsLabelSet = Readonly<Record<DnsLabel, string>>;

const LABELS_MAX = 10_000;
const UNKNOWN: DnsLabelSet = {
  request_query_type: 'unknown',
  request_protocol: 'unknown',
  source_canonical_service: 'unknown',
  source_canonical_revision: 'unknown',
};

/**
 * Gives each distinct set of labels a small number by which the engine counts.
 *
 * Bounded: when full, new sets are 0, which stands for "nothing known", and are counted. A set is never removed.
 */
export class DnsLabelTable {
  readonly #sets: DnsLabelSet[] = [UNKNOWN];
  readonly #labelOf = new Map<string, number>();
  readonly #max: number;
  #overflowTotal = 0;

  constructor(max = LABELS_MAX) {
    this.#max = max;
  }

  intern(set: DnsLabelSet): number {
    const key = DNS_LABELS.map((name) => set[name]).join('\n');
    const known = this.#labelOf.get(key);
    if (known !== undefined) return known;
    if (this.#labelOf.size >= this.#max) {
      this.#overflowTotal++;
      return 0;
    }
    this.#labelOf.set(key, this.#sets.length);
    return this.#sets.push(set) - 1;
  }

  find(label: number): DnsLabelSet {
    return this.#sets[label] ?? UNKNOWN;
  }

  get size(): number {
    return this.#labelOf.size;
  }

  get max(): number {
    return this.#max;
  }

  get overflowTotal(): number {
    return this.#overflowTotal;
  }
}
