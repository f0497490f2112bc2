// SPDX-License-Identifier: Apache-2.0

import { Histogram, type Registry } from 'prom-client';
import type { DnsUpstream } from '../model/messages.gen.ts';
import { DNS_LABELS, type DnsLabelTable } from './dns-labels.ts';
import { readingsOf } from './readings.ts';

const DURATIONS = 'istio_dns_upstream_request_duration_seconds';
// The first of the bounds by which the rows of the engine are sorted, see port.schema.ts.
const FIRST_BUCKET_SECONDS = 0.0005;

/** What became of forwarded queries, read at the scrape. */
export function declareDnsUpstreams(
  registry: Registry,
  labels: DnsLabelTable,
  read: () => readonly DnsUpstream[],
): void {
  readingsOf(registry).readCounter(
    'istio_dns_upstream_failures_total',
    'DNS queries forwarded that no upstream resolver answered, or that all refused.',
    [...DNS_LABELS],
    (metric) => {
      for (const { label, failed } of read()) if (failed > 0n) metric.inc(labels.find(label), Number(failed));
    },
  );
  registry.registerMetric(new DnsDurations(labels, read));
}

type Values = Awaited<ReturnType<Histogram['get']>>;

const SHAPE = {
  name: DURATIONS,
  help: 'How long upstream resolvers took to answer.',
  labelNames: DNS_LABELS,
  registers: [],
};

/** A histogram whose buckets the engine has filled; the library's own would want every observation once more. */
class DnsDurations extends Histogram {
  readonly #empty = new Histogram(SHAPE);
  readonly #labels: DnsLabelTable;
  readonly #read: () => readonly DnsUpstream[];

  constructor(labels: DnsLabelTable, read: () => readonly DnsUpstream[]) {
    super(SHAPE);
    this.#labels = labels;
    this.#read = read;
  }

  override async get(): Promise<Values> {
    return { ...(await this.#empty.get()), values: this.#read().flatMap((row) => this.#valuesOf(row)) };
  }

  /** What the library renders text from. */
  getForPromString(): Promise<Values> {
    return this.get();
  }

  #valuesOf({ label, durationUs, answered }: DnsUpstream): Values['values'] {
    const labels = this.#labels.find(label);
    let count = 0;
    const buckets = answered.map((answers, index) => {
      count += Number(answers);
      const le = index < answered.length - 1 ? FIRST_BUCKET_SECONDS * 2 ** index : '+Inf';
      return { metricName: `${DURATIONS}_bucket`, labels: { ...labels, le }, value: count };
    });
    if (count === 0) return [];
    return [
      ...buckets,
      { metricName: `${DURATIONS}_sum`, labels, value: Number(durationUs) / 1e6 },
      { metricName: `${DURATIONS}_count`, labels, value: count },
    ];
  }
}
