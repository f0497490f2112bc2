// SPDX-License-Identifier: Apache-2.0

// A node's record: attached (a stream) or on lease (its stream is gone, its pods stay for the grace). A restarted control
// plane begins with the records of its predecessor, all on lease.
// A new stream opens with the whole snapshot; what an earlier stream knew and the snapshot lacks is removed at its end.

import { type Metadata, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import type { Caller } from './authentication.ts';
import {
  type Hello,
  type NodeInstruction,
  type NodeReport,
  type PodDescription,
  type PodRegistryServer as PodRegistryHandlers,
  PodRegistryService,
} from './gen/groundwire/pods.ts';
import {
  type CaptureDecision,
  fromWirePod,
  type RegistryWelcome,
  type ReportedPod,
  toWireDecision,
} from './pod-report.ts';

export interface PodRegistryServerOptions {
  readonly callerOf: (metadata: Metadata) => Caller | undefined;
  readonly welcome: (node: string) => RegistryWelcome;
  /** Pods were added, changed or removed. */
  readonly onChange: () => void;
  /**
   * How long the pods of a node stay when its stream is gone.
   *
   * Long on purpose: once they are removed nobody takes their addresses for the mesh's any more, and what is sent to
   * them goes out in plaintext.
   */
  readonly graceMs: number;
  /** Default 1024. */
  readonly podsPerNodeMax?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A pod, and where it runs. */
export interface RegisteredPod extends ReportedPod {
  readonly node: string;
}

type Call = ServerDuplexStream<NodeReport, NodeInstruction>;

interface NodeRecord {
  readonly node: string;
  readonly pods: Map<string, RegisteredPod>;
  call: Call | undefined;
  /** Pods seen since the stream began; `undefined` once the snapshot is complete. */
  snapshot: Set<string> | undefined;
  cancelLease: Cancel;
}

/** Knows the pods of nodes that have no Kubernetes, and tells each node what to do with its own. */
export class PodRegistryServer {
  readonly definition = PodRegistryService;
  readonly implementation: PodRegistryHandlers;
  readonly counters = { attached: 0, reports: 0, podsRejected: 0, nodesRefused: 0, leasesExpired: 0 };
  readonly #options: PodRegistryServerOptions;
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #decisions = new Map<string, CaptureDecision>();
  #closed = false;

  constructor(options: PodRegistryServerOptions) {
    this.#options = options;
    this.implementation = { attach: (call) => this.#accept(call) };
  }

  pods(): RegisteredPod[] {
    return [...this.#nodes.values()].flatMap(({ pods }) => [...pods.values()]);
  }

  /** How many nodes have a stream, and how many are known for the grace without one. */
  nodes(): { readonly attached: number; readonly on_lease: number } {
    const attached = [...this.#nodes.values()].filter(({ call }) => call !== undefined).length;
    return { attached, on_lease: this.#nodes.size - attached };
  }

  podsOf(node: string): RegisteredPod[] {
    return [...(this.#nodes.get(node)?.pods.values() ?? [])];
  }

  /** Takes over what an earlier run knew; call before nodes can attach. */
  restore(pods: readonly RegisteredPod[]): void {
    for (const pod of pods) {
      const record = this.#nodes.get(pod.node) ?? emptyRecord(pod.node);
      record.pods.set(pod.uid, pod);
      this.#nodes.set(pod.node, record);
    }
    for (const record of this.#nodes.values()) this.#startLease(record);
  }

  /** Tells the pod's node what to do; kept, and told again when the node comes back. The same decision is told once. */
  decide(decision: CaptureDecision): void {
    const before = this.#decisions.get(decision.uid);
    if (before !== undefined && sameDecision(before, decision)) return;
    const record = [...this.#nodes.values()].find(({ pods }) => pods.has(decision.uid));
    if (record === undefined) return;
    this.#decisions.set(decision.uid, decision);
    if (record.snapshot === undefined) this.#tellDecision(record, decision);
  }

  /** The pod cannot be taken as it is: its node is told why, and the pod is forgotten. */
  reject(uid: string, reason: string): void {
    const record = [...this.#nodes.values()].find(({ pods }) => pods.has(uid));
    if (record === undefined) return;
    this.counters.podsRejected += 1;
    this.#options.log.warn('pod rejected', { node: record.node, uid, reason });
    record.call?.write({ instruction: { $case: 'podRejected', value: { uid, reason } } });
    this.#stop(record, uid);
  }

  close(): void {
    this.#closed = true;
    for (const { call, cancelLease } of this.#nodes.values()) {
      cancelLease();
      call?.end();
    }
    this.#nodes.clear();
  }

  #accept(call: Call): void {
    const caller = this.#options.callerOf(call.metadata);
    let record: NodeRecord | undefined;
    const refuse = (code: status, details: string): void => {
      this.counters.nodesRefused += 1;
      this.#options.log.warn('node refused', { node: caller?.node ?? '', reason: details });
      call.emit('error', { code, details });
    };
    const receive = (report: NodeReport['report']): void => {
      if (record !== undefined) {
        // A later stream of the same node has taken over.
        if (record.call === call) this.#handle(record, report);
      } else if (caller === undefined) {
        refuse(status.UNAUTHENTICATED, 'the call carries no accepted token');
      } else if (report?.$case !== 'hello') {
        refuse(status.FAILED_PRECONDITION, 'the first message must be hello');
      } else if (report.value.node !== caller.node) {
        refuse(status.PERMISSION_DENIED, `the token is for node ${caller.node}, not for ${report.value.node}`);
      } else {
        record = this.#attach(call, report.value);
      }
    };
    call.on('data', ({ report }: NodeReport) => {
      this.counters.reports += 1;
      try {
        receive(report);
      } catch (error) {
        // What is wrong with one node ends its stream, and nobody else's.
        refuse(status.RESOURCE_EXHAUSTED, error instanceof Error ? error.message : String(error));
      }
    });
    const gone = (): void => {
      if (record?.call === call) this.#startLease(record);
    };
    call.on('end', () => {
      gone();
      call.end();
    });
    call.on('cancelled', gone);
    call.on('error', gone);
  }

  #attach(call: Call, { node }: Hello): NodeRecord {
    const { log, welcome } = this.#options;
    // Before anything is changed: a node that there is no room for leaves no trace.
    const { trustDomain, clusterId, podCidrs } = welcome(node);
    const record = this.#nodes.get(node) ?? emptyRecord(node);
    record.call?.end();
    record.cancelLease();
    record.call = call;
    record.snapshot = new Set();
    this.#nodes.set(node, record);
    this.counters.attached += 1;
    log.info('node attached', { node });
    call.write({ instruction: { $case: 'welcome', value: { trustDomain, clusterId, podCidrs: [...podCidrs] } } });
    return record;
  }

  #handle(record: NodeRecord, report: NodeReport['report']): void {
    switch (report?.$case) {
      case 'podStarted':
        if (report.value.pod !== undefined) this.#start(record, report.value.pod);
        return;
      case 'podStopped':
        this.#stop(record, report.value.uid);
        return;
      case 'podCaptured': {
        const pod = record.pods.get(report.value.uid);
        if (pod === undefined) return;
        record.pods.set(pod.uid, { ...pod, captured: report.value.captured });
        this.#options.onChange();
        return;
      }
      case 'snapshotDone':
        this.#completeSnapshot(record);
        return;
      case 'hello':
      case undefined:
        return;
    }
  }

  #start(record: NodeRecord, description: PodDescription): void {
    const pod: RegisteredPod = { ...fromWirePod(description), node: record.node };
    const problem = this.#problemWith(record, pod);
    if (problem !== undefined) {
      this.counters.podsRejected += 1;
      this.#options.log.warn('pod rejected', {
        node: record.node,
        pod: `${pod.namespace}/${pod.name}`,
        reason: problem,
      });
      record.call?.write({ instruction: { $case: 'podRejected', value: { uid: pod.uid, reason: problem } } });
      return;
    }
    // A pod started again while the stream was away comes under a new uid before its old one is known to be gone.
    const before = this.podsOf(record.node).find((other) => other.uid !== pod.uid && isNamesake(other, pod));
    if (before !== undefined) this.#stop(record, before.uid);
    record.pods.set(pod.uid, pod);
    record.snapshot?.add(pod.uid);
    this.#options.onChange();
  }

  #problemWith(record: NodeRecord, pod: RegisteredPod): string | undefined {
    const { podsPerNodeMax = 1024 } = this.#options;
    if (pod.uid === '' || pod.name === '' || pod.namespace === '') return 'uid, name and namespace must be given';
    if (!record.pods.has(pod.uid) && record.pods.size >= podsPerNodeMax)
      return `the node has ${podsPerNodeMax} pods already`;
    const twin = this.pods().find(
      (other) => other.node !== record.node && (other.uid === pod.uid || isNamesake(other, pod)),
    );
    return twin === undefined ? undefined : `pod ${twin.namespace}/${twin.name} runs on node ${twin.node} already`;
  }

  #stop(record: NodeRecord, uid: string): void {
    if (!record.pods.delete(uid)) return;
    this.#decisions.delete(uid);
    this.#options.onChange();
  }

  #completeSnapshot(record: NodeRecord): void {
    const { snapshot } = record;
    if (snapshot === undefined) return;
    record.snapshot = undefined;
    for (const uid of record.pods.keys()) if (!snapshot.has(uid)) this.#stop(record, uid);
    for (const uid of record.pods.keys()) {
      const decision = this.#decisions.get(uid);
      if (decision !== undefined) this.#tellDecision(record, decision);
    }
  }

  #tellDecision(record: NodeRecord, decision: CaptureDecision): void {
    record.call?.write({ instruction: { $case: 'podDecision', value: toWireDecision(decision) } });
  }

  #startLease(record: NodeRecord): void {
    const { clock, graceMs, log } = this.#options;
    record.call = undefined;
    record.snapshot = undefined;
    if (this.#closed) return;
    const { node, pods } = record;
    log.warn('node is not attached, its pods stay for the grace', { node, pods: pods.size, grace_ms: graceMs });
    record.cancelLease = clock.setTimer(graceMs, () => {
      this.counters.leasesExpired += 1;
      log.warn('node did not come back, its pods are removed', { node: record.node, pods: record.pods.size });
      for (const uid of record.pods.keys()) this.#decisions.delete(uid);
      this.#nodes.delete(record.node);
      this.#options.onChange();
    });
  }
}

function emptyRecord(node: string): NodeRecord {
  return { node, pods: new Map(), call: undefined, snapshot: undefined, cancelLease: () => {} };
}

function isNamesake(a: ReportedPod, b: ReportedPod): boolean {
  return a.namespace === b.namespace && a.name === b.name;
}

function sameDecision(a: CaptureDecision, b: CaptureDecision): boolean {
  return (
    a.capture === b.capture &&
    a.sameNodeMode === b.sameNodeMode &&
    a.existingConnections === b.existingConnections &&
    a.dnsCapture === b.dnsCapture &&
    a.reason === b.reason
  );
}
