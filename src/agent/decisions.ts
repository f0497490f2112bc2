// SPDX-License-Identifier: Apache-2.0

import type { Config } from '../config/table.ts';
import { readDnsQueryType } from '../dialogue/dns-query-type.ts';
import { type DialogueCounts, EngineDialogue } from '../dialogue/engine-dialogue.ts';
import { NameDesk } from '../dialogue/name-desk.ts';
import type { PodCaptures } from '../dialogue/pod-captures.ts';
import type { EnginePort } from '../engine/port.ts';
import { ClientAffinity } from '../mesh/client-affinity.ts';
import { Decider, deciderOptions } from '../mesh/decider.ts';
import type { MeshStore } from '../mesh/store.ts';
import { VerdictLedger } from '../mesh/verdicts.ts';
import { NETWORK } from '../mesh/view.ts';
import type { Clock } from '../model/clock.ts';
import type { Closers } from '../model/closers.ts';
import { hostLookup } from '../node/host-lookup.ts';
import { LocalPodDirectory } from '../pods/pod-directory.ts';
import { logConnection } from '../telemetry/access-log.ts';
import { FIELDS } from '../telemetry/fields.ts';
import type { FlowLabelTable } from '../telemetry/flow-labels.ts';
import { LineShares } from '../telemetry/line-shares.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** Everything between the engine's questions and the mesh. */
export interface Decisions {
  readonly directory: LocalPodDirectory;
  readonly labels: FlowLabelTable;
  readonly ledger: VerdictLedger;
  readonly decider: Decider;
  readonly names: NameDesk;
  readonly affinity: ClientAffinity;
  readonly dialogue: EngineDialogue;
  /** Events that the engine had to drop since the start. */
  readonly eventsDropped: () => number;
  /** Lines of the access log that were left out since the start, since their pods had more than their share. */
  readonly accessLinesLeftOut: () => number;
}

const LABEL_SWEEP_MS = 60_000;

/** What the decisions are made from and for. */
export interface DecisionsParts {
  readonly engine: EnginePort;
  readonly mesh: MeshStore;
  readonly captures: PodCaptures;
  readonly labels: FlowLabelTable;
  readonly metrics: Metrics;
  /** Addresses of DNS servers that this node reaches. */
  readonly resolvers: readonly string[];
  readonly clock: Clock;
}

/** Answers the engine from here on; to be called in the turn in which it was opened, so that no event is missed. */
export function openDecisions(
  config: Config<'engine' | 'mesh' | 'pods' | 'accessLog'>,
  log: Logger,
  { engine, mesh, captures, labels, metrics, resolvers, clock }: DecisionsParts,
  closers: Closers,
): Decisions {
  const directory = new LocalPodDirectory();
  const ledger = new VerdictLedger();
  const names = new NameDesk({
    lookUp: hostLookup(resolvers),
    setName: (hostname, resolved) => mesh.setName(hostname, resolved),
    clock,
    log: log.child('names'),
  });
  closers.add('names', () => names.close());
  const affinity = new ClientAffinity(clock, Math.random, (keys) => dialogue.onChange(keys));
  closers.add('affinity', () => affinity.close());
  const decider = new Decider(
    {
      view: mesh,
      pods: directory,
      labels,
      ledger,
      affinity,
      resolveName: (hostname) => names.want(hostname),
      nowMs: () => clock.nowMs(),
    },
    deciderOptions(config.engine.verdictTimeoutMs),
  );
  const dialogue: EngineDialogue = new EngineDialogue({
    engine,
    decider,
    view: mesh,
    directory,
    labels,
    counts: dialogueCounts(metrics),
    clock,
    log: log.child('decisions'),
    clusterDomain: config.mesh.clusterDomain,
    ownsClusterDomain: config.pods.ownsClusterDomain,
    names,
    random: Math.random,
  });
  closers.add('decisions', () => dialogue.close());
  const accessLog = {
    log: log.child('access'),
    labels,
    findWorkload: (address: string) => mesh.findWorkloadByAddress(NETWORK, address),
    findPolicy: (verdict: bigint) => decider.findPolicy(verdict),
  };
  const shares = new LineShares({
    podLinesMax: config.accessLog.podLinesMax,
    clock,
    onLeftOut: (pod, lines) => {
      const workload = mesh.findWorkload(directory.findWorkloadUid(pod) ?? '');
      accessLog.log.warn('access-log lines left out: the pod had more than its share', {
        [FIELDS.podName]: workload?.name,
        [FIELDS.podNamespace]: workload?.namespace,
        lines,
      });
    },
  });
  closers.add('access log', () => shares.close());
  let eventsDropped = 0;
  engine.onEvents((events, dropped) => {
    eventsDropped += dropped;
    dialogue.onEvents(events);
    for (const event of events) {
      captures.onEvent(event);
      if (event.kind !== 'ConnectionClosed' || !config.accessLog.enabled) continue;
      if (shares.take(event.pod)) logConnection(accessLog, event);
    }
  });
  sweepLabels(labels, mesh, clock, closers);
  return {
    directory,
    labels,
    ledger,
    decider,
    names,
    affinity,
    dialogue,
    eventsDropped: () => eventsDropped,
    accessLinesLeftOut: () => shares.leftOutTotal,
  };
}

function dialogueCounts(metrics: Metrics): DialogueCounts {
  return {
    countDecision: (direction, code) => metrics.countDecision(direction, code),
    countDryRunMatches: (matches) => metrics.countDryRunMatches(matches),
    countDns: (client, { transport, message }, outcome) => {
      // The engine drops, and counts as `dns_malformed`, what is no query before it comes here.
      if (outcome === 'drop') return 0;
      return metrics.countDnsRequest(
        {
          request_query_type: readDnsQueryType(message) ?? 'unknown',
          request_protocol: transport,
          source_canonical_service: client?.canonicalName ?? 'unknown',
          source_canonical_revision: client?.canonicalRevision ?? 'unknown',
        },
        outcome === 'forward',
      );
    },
  };
}

function sweepLabels(labels: FlowLabelTable, mesh: MeshStore, clock: Clock, closers: Closers): void {
  let cancel = (): void => {};
  const arm = (): void => {
    cancel = clock.setTimer(LABEL_SWEEP_MS, () => {
      labels.sweep(mesh.workloads.values(), mesh.services.values(), clock.nowMs());
      arm();
    });
  };
  arm();
  closers.add('flow labels', () => cancel());
}
