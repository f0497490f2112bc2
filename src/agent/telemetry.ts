// SPDX-License-Identifier: Apache-2.0

import { type HttpCounters, makeHttpCounters } from '../api/http.ts';
import { Scrapes } from '../api/scrapes.ts';
import { readVersion } from '../config/version.ts';
import type { PodCaptures } from '../dialogue/pod-captures.ts';
import type { EnginePort } from '../engine/port.ts';
import type { MeshStore } from '../mesh/store.ts';
import type { Clock } from '../model/clock.ts';
import type { FlowLabelTable } from '../telemetry/flow-labels.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type Fill, Metrics, type MetricsReader } from '../telemetry/metrics.ts';
import { prefixed } from '../telemetry/readings.ts';
import { openRegistry } from '../telemetry/registry.ts';
import type { Decisions } from './decisions.ts';
import type { Discovery } from './discovery.ts';
import type { Identity } from './identity.ts';
import type { Place } from './place.ts';
import type { Pods } from './pods.ts';
import type { Upstream } from './upstream.ts';

/** Whose numbers a scrape shows. */
export interface TelemetrySources {
  readonly engine: EnginePort;
  readonly mesh: MeshStore;
  readonly captures: PodCaptures;
  readonly decisions: Decisions;
  readonly upstream: Upstream;
  readonly identity: Identity;
  readonly discovery: Discovery;
  readonly place: Place;
  readonly pods: Pods;
  readonly startedMs: number;
}

export interface Telemetry {
  readonly metrics: Metrics;
  readonly requests: HttpCounters;
  readonly scrapes: Scrapes;
}

/** `sources` is asked at the scrape, when every part is there; the parts count from the start. */
export function openTelemetry(
  labels: FlowLabelTable,
  log: Logger,
  clock: Clock,
  sources: () => TelemetrySources,
): Telemetry {
  const registry = openRegistry();
  const requests = makeHttpCounters();
  const scrapes = new Scrapes(() => registry.render(), clock);
  const options = { component: 'groundwire', tag: readVersion().groundwire };
  const metrics = new Metrics(
    registry,
    labels,
    metricsReader(labels, log, clock, { requests, scrapes: scrapes.counters }, sources),
    options,
  );
  return { metrics, requests, scrapes };
}

function metricsReader(
  labels: FlowLabelTable,
  log: Logger,
  clock: Clock,
  doors: { readonly requests: HttpCounters; readonly scrapes: Scrapes['counters'] },
  sources: () => TelemetrySources,
): MetricsReader {
  return {
    flows: () => sources().engine.readSnapshot(['flows']).flows,
    dnsUpstreams: () => sources().engine.readSnapshot(['dnsUpstreams']).dnsUpstreams,
    counters: () => sources().engine.readSnapshot(['counters']).counters,
    certificates: () =>
      sources()
        .identity.certificates.status()
        .flatMap(({ identity, certChain: [leaf] }) =>
          leaf === undefined ? [] : [{ identity, notAfterMs: Date.parse(leaf.expirationTime) }],
        ),
    tokenEndMs: () => sources().upstream.tokens.life()?.untilMs,
    fills: () => {
      const { ledger, decider, dialogue, names, affinity, eventsDropped, accessLinesLeftOut } = sources().decisions;
      return [
        { name: 'verdicts', size: ledger.size, max: ledger.max, droppedTotal: ledger.evictedTotal },
        { name: 'flow_labels', size: labels.size, max: labels.max, droppedTotal: labels.overflowTotal },
        { name: 'pending_questions', size: decider.pendingCount, max: decider.pendingMax, droppedTotal: 0 },
        { name: 'resolved_names', size: names.size, max: names.max, droppedTotal: names.counters.refused },
        { name: 'affinities', size: affinity.size, max: affinity.max, droppedTotal: affinity.evictedTotal },
        { name: 'recalls_owed', size: dialogue.recall.owed, max: ledger.max, droppedTotal: 0 },
        rejectedFill(sources().mesh),
        { name: 'engine_events', size: 0, max: 0, droppedTotal: eventsDropped() },
        { name: 'access_log_shares', size: 0, max: 0, droppedTotal: accessLinesLeftOut() },
        { name: 'log_lines', size: 0, max: 0, droppedTotal: log.counters.dropped + log.counters.failed },
      ];
    },
    resources: () => {
      const { workloads, services, policies, rejectedTotals } = sources().mesh;
      return [
        { kind: 'workload', count: workloads.size, rejectedTotal: rejectedTotals.workload },
        { kind: 'service', count: services.size, rejectedTotal: rejectedTotals.service },
        { kind: 'policy', count: policies.size, rejectedTotal: rejectedTotals.policy },
      ];
    },
    verdictsInvalidatedTotal: () => sources().decisions.ledger.invalidatedTotal,
    configurationAgeMs: () => {
      const { discovery, startedMs } = sources();
      return clock.nowMs() - (discovery.xds.status().syncedMs ?? startedMs);
    },
    agentCounters: () => {
      const { upstream, identity, discovery, place, pods, decisions } = sources();
      return prefixed({
        node: place.home.counters,
        token: upstream.tokens.counters,
        certificates: identity.certificates.counters,
        identities: identity.identities.counters,
        discovery: discovery.xds.counters,
        registry: pods.registry.counters,
        cache: discovery.cache.counters,
        pods: pods.pods.counters,
        pod_files: place.files.counters,
        ...pods.kubernetesCounters,
        recalls: decisions.dialogue.recall.counters,
        names: decisions.names.counters,
        ...doors,
      });
    },
    pods: () => podsByState(sources()),
    unenrolled: () => countBy(sources().pods.unenrolled(), ({ reason }) => reason),
    proxies: () => {
      const { captures } = sources();
      const { started, stopped } = captures.counters;
      const pending = podsByState(sources()).get('capturing') ?? 0;
      return { active: captures.size, pending, startedTotal: started, stoppedTotal: stopped };
    },
  };
}

function rejectedFill({ rejected }: MeshStore): Fill {
  return { name: 'rejected_resources', size: rejected.size, max: rejected.max, droppedTotal: rejected.lostTotal };
}

function podsByState({ pods }: TelemetrySources): ReadonlyMap<string, number> {
  return countBy(pods.pods.list(), (pod) => pod.state.kind);
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}
