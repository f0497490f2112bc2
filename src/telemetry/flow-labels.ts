// SPDX-License-Identifier: Apache-2.0

import type { FlowFacts } from '../model/flow-facts.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';

const WORKLOAD_LABELS = [
  'workload',
  'canonical_service',
  'canonical_revision',
  'workload_namespace',
  'principal',
  'app',
  'version',
  'cluster',
] as const;
const LOCALITY_LABELS = ['region', 'zone'] as const;
const SERVICE_LABELS = ['destination_service', 'destination_service_namespace', 'destination_service_name'] as const;

const withSide = <T extends string, S extends string>(side: S, names: readonly T[]) =>
  names.map((name) => `${side}_${name}` as const);

/** Istio's labels of L4 metrics, in its order. */
export const FLOW_LABELS = [
  'reporter',
  ...withSide('source', WORKLOAD_LABELS),
  ...SERVICE_LABELS,
  ...withSide('destination', WORKLOAD_LABELS),
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  ...withSide('source', LOCALITY_LABELS),
  ...withSide('destination', LOCALITY_LABELS),
] as const;

export type FlowLabel = (typeof FLOW_LABELS)[number];
export type FlowLabelSet = Readonly<Record<FlowLabel, string>>;

type Labels = Readonly<Partial<Record<FlowLabel, string>>>;
type WorkloadSide = Readonly<Record<string, string>>;

interface Entry {
  readonly key: string;
  readonly labels: Labels;
  /** Of a peer, whose `labels` are those of a pod that connects: what it says of connections to it that were not decided. */
  readonly asDestination?: Labels;
  /** Of a peer: what the address of a connection says of its source. */
  readonly asAddress?: Labels;
  /** Parts of the mesh that the labels name: when one is gone, so is the label set, some time later. */
  readonly parts: readonly string[];
  deadSinceMs?: number;
}

/** By what the engine counts a connection. */
export interface FlowRowLabels {
  readonly direction: 'outbound' | 'inbound';
  /** Of a verdict; before one, the peer label of the pod that it happened to. */
  readonly flowLabel: number;
  readonly peerLabel: number;
}

export interface FlowLabelOptions {
  readonly labelsMax: number;
  /** How long a label set outlives the last workload it names, so that its last values are scraped. */
  readonly graceMs: number;
}

export const FLOW_LABEL_DEFAULTS: FlowLabelOptions = { labelsMax: 100_000, graceMs: 300_000 };

const UNKNOWN = 'unknown';
const ALL_UNKNOWN = Object.fromEntries(FLOW_LABELS.map((name) => [name, UNKNOWN])) as FlowLabelSet;

/**
 * Gives each distinct set of labels a small number by which the engine counts.
 *
 * By value, not by workload: the pods of one Deployment share a set. Numbers are never used again; 0 stands for "nothing
 * known". Bounded: when full, new sets get 0 and are counted. `sweep` removes sets whose workloads are gone for a while.
 */
export class FlowLabelTable {
  readonly #options: FlowLabelOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #labelOf = new Map<string, number>();
  // A workload's text is made once for each version of it that the mesh has known.
  readonly #sides = new WeakMap<Workload, { readonly part: string; readonly side: WorkloadSide }>();
  #next = 1;
  #overflowTotal = 0;

  constructor(options: FlowLabelOptions = FLOW_LABEL_DEFAULTS) {
    this.#options = options;
  }

  internFlow(facts: FlowFacts): number {
    const { reporter, security, source, sourceIdentity, destination, service } = facts;
    const principal = sourceIdentity ? formatSpiffeId(sourceIdentity) : '';
    const parts = [
      ...(source ? [this.#sideOf(source).part] : []),
      ...(destination ? [this.#sideOf(destination).part] : []),
      ...(service ? [servicePart(service)] : []),
    ];
    const sourcePart = source ? this.#sideOf(source).part : '';
    const destinationPart = destination ? this.#sideOf(destination).part : '';
    const key = [reporter, security, sourcePart, principal, destinationPart, service ? servicePart(service) : ''].join(
      '\n',
    );
    return this.#intern(key, parts, () => ({
      labels: {
        reporter,
        ...(source && this.#side('source', source)),
        ...(principal !== '' && { source_principal: principal }),
        ...(destination && this.#side('destination', destination)),
        ...(service && {
          destination_service: service.hostname,
          destination_service_namespace: service.namespace,
          destination_service_name: service.name,
        }),
        connection_security_policy: security,
      },
    }));
  }

  internPeer(workload: Workload): number {
    const { part } = this.#sideOf(workload);
    return this.#intern(`peer\n${part}`, [part], () => {
      const labels = this.#side('source', workload);
      return {
        labels,
        asDestination: this.#side('destination', workload),
        // As in ztunnel: an address proves nobody's identity.
        asAddress: { ...labels, source_principal: UNKNOWN },
      };
    });
  }

  /** The whole label set of a row of the engine; `undefined` when its flow label has expired. */
  find({ direction, flowLabel, peerLabel }: FlowRowLabels, responseFlags: string): FlowLabelSet | undefined {
    const flow = this.#entries.get(flowLabel);
    if (!flow && flowLabel !== 0) return undefined;
    const peer = this.#entries.get(peerLabel)?.asAddress;
    return {
      ...ALL_UNKNOWN,
      reporter: direction === 'inbound' ? 'destination' : 'source',
      ...peer,
      ...(direction === 'inbound' ? (flow?.asDestination ?? flow?.labels) : flow?.labels),
      request_protocol: 'tcp',
      response_flags: responseFlags,
    };
  }

  /** Drops the sets that name something which the mesh has not had for the grace period. O(mesh + sets). */
  sweep(workloads: Iterable<Workload>, services: Iterable<Service>, nowMs: number): void {
    const alive = new Set<string>();
    for (const workload of workloads) alive.add(this.#sideOf(workload).part);
    for (const service of services) alive.add(servicePart(service));
    for (const [label, entry] of this.#entries) {
      if (entry.parts.every((part) => alive.has(part))) {
        delete entry.deadSinceMs;
        continue;
      }
      entry.deadSinceMs ??= nowMs;
      if (nowMs - entry.deadSinceMs < this.#options.graceMs) continue;
      this.#entries.delete(label);
      this.#labelOf.delete(entry.key);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  get max(): number {
    return this.#options.labelsMax;
  }

  get overflowTotal(): number {
    return this.#overflowTotal;
  }

  #intern(
    key: string,
    parts: readonly string[],
    make: () => Pick<Entry, 'labels' | 'asDestination' | 'asAddress'>,
  ): number {
    const known = this.#labelOf.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#options.labelsMax) {
      this.#overflowTotal++;
      return 0;
    }
    const label = this.#next++;
    this.#labelOf.set(key, label);
    this.#entries.set(label, { key, parts, ...make() });
    return label;
  }

  #side(side: 'source' | 'destination', workload: Workload): Labels {
    return Object.fromEntries(
      Object.entries(this.#sideOf(workload).side).map(([name, text]) => [`${side}_${name}`, text]),
    );
  }

  #sideOf(workload: Workload): { readonly part: string; readonly side: WorkloadSide } {
    let known = this.#sides.get(workload);
    if (!known) {
      const side = workloadSide(workload);
      known = { part: `w\0${Object.values(side).join('\0')}`, side };
      this.#sides.set(workload, known);
    }
    return known;
  }
}

function workloadSide(workload: Workload): WorkloadSide {
  const revision = workload.canonicalRevision || 'latest';
  return {
    workload: workload.workloadName || UNKNOWN,
    canonical_service: workload.canonicalName || UNKNOWN,
    canonical_revision: revision,
    workload_namespace: workload.namespace || UNKNOWN,
    principal: formatSpiffeId(workload),
    app: workload.canonicalName || UNKNOWN,
    version: revision,
    cluster: workload.clusterId || UNKNOWN,
    region: workload.locality?.region || UNKNOWN,
    zone: workload.locality?.zone || UNKNOWN,
  };
}

function servicePart(service: Service): string {
  return `s\0${service.namespace}\0${service.hostname}\0${service.name}`;
}
