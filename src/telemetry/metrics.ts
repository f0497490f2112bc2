// SPDX-License-Identifier: Apache-2.0

import { Counter, Gauge, type Registry } from 'prom-client';
import type { DnsUpstream, Flow } from '../model/messages.gen.ts';
import { DNS_LABELS, type DnsLabel, type DnsLabelSet, DnsLabelTable } from './dns-labels.ts';
import { declareDnsUpstreams } from './dns-upstreams.ts';
import { findError } from './error-codes.ts';
import type { FlowLabelTable } from './flow-labels.ts';
import { FlowMetrics } from './flow-metrics.ts';
import type { AgentCounter } from './part-counters.ts';
import { type Build, declareBuild, readingsOf } from './readings.ts';
import type { MetricsRegistry } from './registry.ts';

/** A bounded thing: how full it is, and what it had to let go since the start. */
export interface Fill {
  readonly name: string;
  readonly size: number;
  readonly max: number;
  readonly droppedTotal: number;
}

/** Where the values come from that are read at the moment of a scrape. */
export interface MetricsReader {
  flows(): readonly Flow[];
  dnsUpstreams(): readonly DnsUpstream[];
  /** Of the engine and the kernel programs; LEVEL tells those that rise and fall from those that only grow. */
  counters(): readonly { readonly name: string; readonly value: bigint }[];
  certificates(): readonly { readonly identity: string; readonly notAfterMs: number }[];
  /** When the token of this node's calls ends; nothing when that does not say. */
  tokenEndMs(): number | undefined;
  /** Verdicts, pending questions, flow labels, log lines, events, and whatever else has a bound. */
  fills(): readonly Fill[];
  /** Resources the mesh knows, by kind. */
  resources(): readonly { readonly kind: string; readonly count: number; readonly rejectedTotal: number }[];
  verdictsInvalidatedTotal(): number;
  /** How long ago the configuration in force was last known to be the newest; 0 while the control plane is in sync. */
  configurationAgeMs(): number;
  /** Counters of the parts of the agent. */
  agentCounters(): Iterable<readonly [name: AgentCounter, value: number]>;
  /** Pods of this node by state. */
  pods(): ReadonlyMap<string, number>;
  /** Pods that belong to the mesh and are not in it, by why. */
  unenrolled(): ReadonlyMap<string, number>;
  /** What serves captured pods, one each; `pending` are being captured. */
  proxies(): {
    readonly active: number;
    readonly pending: number;
    readonly startedTotal: number;
    readonly stoppedTotal: number;
  };
}

// What the engine and the kernel report as it stands; everything else of theirs only grows.
const LEVEL = /_(live|entries|max)$/;

/**
 * Every metric of the agent, declared in one place.
 *
 * Istio's names and labels where Istio has one; ours begin with `groundwire_`. What lives elsewhere is read in
 * `collect()`, at the scrape; the methods count what only passes by. Labels come from closed sets.
 */
export class Metrics {
  readonly #dnsLabels = new DnsLabelTable();
  readonly #dnsRequests: Counter<DnsLabel>;
  readonly #dnsUpstreamRequests: Counter<DnsLabel>;
  readonly #xdsTerminations: Counter<'reason'>;
  readonly #xdsMessages: Counter<'url'>;
  readonly #xdsBytes: Counter<'url'>;
  readonly #decisions: Counter<'direction' | 'code'>;
  readonly #dryRunMatches: Counter;

  constructor(to: MetricsRegistry, labels: FlowLabelTable, reader: MetricsReader, build: Build) {
    const { registry } = to;
    const registers = [registry];
    declareBuild(registry, build);
    const flows = new FlowMetrics(labels, () => reader.flows());
    to.addPieces(() => flows.pieces());
    const { readGauge } = readingsOf(registry);
    readGauge(
      'istio_tcp_sockets_open',
      'Connections that are open; each of those in a tunnel is one.',
      ['reporter'],
      (metric) => {
        for (const [reporter, sockets] of Object.entries(flows.socketsOpen)) metric.set({ reporter }, sockets);
      },
    );
    readGauge(
      'groundwire_flow_rows_expired',
      'Rows of the engine that are not shown, since their labels have expired.',
      [],
      (metric) => metric.set(flows.expired),
    );
    declareReadings(registry, { ...reader, fills: () => [...reader.fills(), this.#dnsFill()] });
    const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
      new Counter<T>({ name, help, labelNames: [...labelNames], registers });
    this.#dnsRequests = counter('istio_dns_requests_total', 'DNS queries of pods.', DNS_LABELS);
    this.#dnsUpstreamRequests = counter('istio_dns_upstream_requests_total', 'DNS queries forwarded.', DNS_LABELS);
    declareDnsUpstreams(registry, this.#dnsLabels, () => reader.dnsUpstreams());
    this.#xdsTerminations = counter('istio_xds_connection_terminations_total', 'Ended xDS streams.', ['reason']);
    this.#xdsMessages = counter('istio_xds_message_total', 'xDS responses received.', ['url']);
    this.#xdsBytes = counter('istio_xds_message_bytes_total', 'Bytes of xDS responses received.', ['url']);
    this.#decisions = counter('groundwire_decisions_total', 'Answers to the engine.', ['direction', 'code']);
    this.#dryRunMatches = counter('groundwire_dry_run_matches_total', 'Decisions that a dry-run policy matched.', []);
  }

  /** Returns the number by which the engine counts what becomes of the query. */
  countDnsRequest(labels: DnsLabelSet, forwarded: boolean): number {
    const label = this.#dnsLabels.intern(labels);
    const interned = this.#dnsLabels.find(label);
    this.#dnsRequests.inc(interned);
    if (forwarded) this.#dnsUpstreamRequests.inc(interned);
    return label;
  }

  countXdsMessage(url: string, bytes: number): void {
    this.#xdsMessages.inc({ url });
    this.#xdsBytes.inc({ url }, bytes);
  }

  countXdsTermination(reason: string): void {
    this.#xdsTerminations.inc({ reason });
  }

  /** `code` as in ERROR_TABLE; 0 = allowed. */
  countDecision(direction: 'outbound' | 'inbound', code: number): void {
    this.#decisions.inc({ direction, code: findError(code)?.code ?? 'OK' });
  }

  countDryRunMatches(matches: number): void {
    this.#dryRunMatches.inc(matches);
  }

  #dnsFill(): Fill {
    const { size, max, overflowTotal } = this.#dnsLabels;
    return { name: 'dns_labels', size, max, droppedTotal: overflowTotal };
  }
}

function declareReadings(registry: Registry, reader: MetricsReader): void {
  const { readCounter, readGauge } = readingsOf(registry);
  // The first one fills both, as with flows: a read of the kernel's counters is work for the engine's control thread.
  readCounter(
    'groundwire_engine_total',
    'Counters of the engine and the kernel programs; docs/counters.md says what each counts and what to do when it rises.',
    ['name'],
    (metric) => {
      levels.reset();
      for (const { name, value } of reader.counters()) {
        if (LEVEL.test(name)) levels.set({ name }, Number(value));
        else metric.inc({ name }, Number(value));
      }
    },
  );
  const levels = new Gauge({
    name: 'groundwire_engine_level',
    help: 'Levels of the engine and the kernel programs; docs/counters.md says what each is.',
    labelNames: ['name'],
    registers: [registry],
  });
  readGauge('groundwire_certificate_expiry_timestamp_seconds', 'When certificates end.', ['identity'], (metric) => {
    for (const { identity, notAfterMs } of reader.certificates()) metric.set({ identity }, notAfterMs / 1000);
  });
  readGauge(
    'groundwire_join_token_expiry_timestamp_seconds',
    "When the token of this node's calls ends.",
    [],
    (metric) => {
      // Without labels there is no leaving out; a 0 would be a token that ended long ago.
      metric.set((reader.tokenEndMs() ?? Number.NaN) / 1000);
    },
  );
  readGauge('groundwire_fill_ratio', 'How full a bounded thing is.', ['name'], (metric) => {
    for (const { name, size, max } of reader.fills()) metric.set({ name }, max === 0 ? 0 : size / max);
  });
  readGauge('groundwire_fill_size', 'How many are in a bounded thing.', ['name'], (metric) => {
    for (const { name, size } of reader.fills()) metric.set({ name }, size);
  });
  readCounter('groundwire_dropped_total', 'What a bounded thing had to let go.', ['name'], (metric) => {
    for (const { name, droppedTotal } of reader.fills()) metric.inc({ name }, droppedTotal);
  });
  readGauge('groundwire_resources', 'Resources the mesh knows.', ['kind'], (metric) => {
    for (const { kind, count } of reader.resources()) metric.set({ kind }, count);
  });
  readCounter('groundwire_resources_rejected_total', 'Resources not taken.', ['kind'], (metric) => {
    for (const { kind, rejectedTotal } of reader.resources()) metric.inc({ kind }, rejectedTotal);
  });
  readCounter(
    'groundwire_agent_total',
    'Counters of the parts of the agent; docs/counters.md says what each counts and what to do when it rises.',
    ['name'],
    (metric) => {
      for (const [name, value] of reader.agentCounters()) metric.inc({ name }, value);
    },
  );
  readGauge('groundwire_pods', 'Pods of this node.', ['state'], (metric) => {
    for (const [state, count] of reader.pods()) metric.set({ state }, count);
  });
  readGauge(
    'groundwire_selected_but_not_enrolled',
    'Pods that belong to the mesh and are not captured.',
    ['reason'],
    (metric) => {
      for (const [reason, count] of reader.unenrolled()) metric.set({ reason }, count);
    },
  );
  readGauge('istio_active_proxy_count', 'Pods that are captured.', [], (metric) => metric.set(reader.proxies().active));
  readGauge('istio_pending_proxy_count', 'Pods that are being captured.', [], (metric) =>
    metric.set(reader.proxies().pending),
  );
  readCounter('istio_proxies_started_total', 'Pods captured since the start.', [], (metric) =>
    metric.inc(reader.proxies().startedTotal),
  );
  readCounter('istio_proxies_stopped_total', 'Pods released since the start.', [], (metric) =>
    metric.inc(reader.proxies().stoppedTotal),
  );
  readGauge(
    'groundwire_configuration_age_seconds',
    'Since the last sync with the control plane, or since the start without one; 0 while in sync.',
    [],
    (metric) => {
      metric.set(reader.configurationAgeMs() / 1000);
    },
  );
  readCounter('groundwire_verdicts_invalidated_total', 'Answers that a change made void.', [], (metric) => {
    metric.inc(reader.verdictsInvalidatedTotal());
  });
}
