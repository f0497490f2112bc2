// SPDX-License-Identifier: Apache-2.0

// A node's record: attached (a stream), on lease (its stream is gone, its pods stay as they are for the grace) or lost (its
// pods stay as lost ones until it is forgotten). A restarted control plane begins with the records of its predecessor.
// A new stream opens with the whole snapshot; what an earlier stream knew and the snapshot lacks is removed at its end.

import { isDeepStrictEqual } from 'node:util';
import { type Metadata, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Caller, TokenLife } from '../model/caller.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { QuietLogs } from '../model/quiet-logs.ts';
import {
  type Hello,
  type NodeInstruction,
  type NodeReport,
  type PodDescription,
  type PodRegistryServer as PodRegistryHandlers,
  PodRegistryService,
} from '../wire/groundwire/pods.ts';
import { type CaptureDecision, fromWirePod, type RegistryWelcome, toWireDecision } from './pod-report.ts';
import { PodTable, type RegisteredPod } from './pod-table.ts';

export interface PodRegistryServerOptions {
  readonly callerOf: (metadata: Metadata) => Caller | undefined;
  readonly welcome: (node: string) => RegistryWelcome;
  /** The token after that one; nothing when that is to be the last of its line. */
  readonly renewToken: (node: string, last: TokenLife) => RenewedToken | undefined;
  /** How long before its tokens end for good a node is told of. */
  readonly tokenNoticeMs: number;
  /** Pods were added, changed or removed. */
  readonly onChange: () => void;
  /** How long the pods of a node stay as they are when its stream is gone; then they are lost. */
  readonly graceMs: number;
  /**
   * How long lost pods stay after that.
   *
   * Long on purpose: once they are removed nobody takes their addresses for the mesh's any more, and what is sent to
   * them goes out in plaintext.
   */
  readonly forgetMs: number;
  /** A node has been away for its grace. */
  readonly onNodeLost: (node: string, sinceMs: number) => void;
  /** It has no pods any more, and is not waited for; should it come back, it is a new one. */
  readonly onNodeForgotten: (node: string) => void;
  /** Default 1024. */
  readonly podsPerNodeMax?: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RenewedToken {
  readonly token: string;
  readonly life: TokenLife;
}

type Call = ServerDuplexStream<NodeReport, NodeInstruction>;

interface NodeRecord {
  readonly node: string;
  call: Call | undefined;
  /** Pods seen since the stream began; `undefined` once the snapshot is complete. */
  snapshot: Set<string> | undefined;
  lostSinceMs: number | undefined;
  cancelLease: Cancel;
  cancelRenewal: Cancel;
}

/** Knows the pods of nodes that have no Kubernetes, and tells each node what to do with its own. */
export class PodRegistryServer {
  readonly definition = PodRegistryService;
  readonly implementation: PodRegistryHandlers;
  readonly counters = {
    attached: 0,
    attachedTwice: 0,
    reports: 0,
    podsRejected: 0,
    nodesRefused: 0,
    leasesExpired: 0,
    nodesForgotten: 0,
    tokensRenewed: 0,
  };
  readonly #options: PodRegistryServerOptions;
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #pods: PodTable;
  /** Nodes that are refused try for ever. */
  readonly #refusals: QuietLogs;
  /** So do two agents of one node, and a node whose tokens end. */
  readonly #takeovers: QuietLogs;
  readonly #endings: QuietLogs;
  #problems: readonly string[] = [];
  #closed = false;

  constructor(options: PodRegistryServerOptions) {
    this.#options = options;
    this.#refusals = new QuietLogs(options.clock);
    this.#takeovers = new QuietLogs(options.clock);
    this.#endings = new QuietLogs(options.clock);
    this.#pods = new PodTable(options.podsPerNodeMax ?? 1024);
    this.implementation = { attach: (call) => this.#accept(call) };
  }

  pods(): RegisteredPod[] {
    return this.#pods.pods();
  }

  /** Pods that came, went or were described anew since this was called last, by uid; `undefined`: gone. */
  takeChanges(): Map<string, RegisteredPod | undefined> {
    return this.#pods.takeChanges();
  }

  /** How many nodes have a stream, how many are within their grace without one, and how many are past it. */
  nodes(): { readonly attached: number; readonly on_lease: number; readonly lost: number } {
    const records = [...this.#nodes.values()];
    const attached = records.filter(({ call }) => call !== undefined).length;
    const lost = records.filter(({ lostSinceMs }) => lostSinceMs !== undefined).length;
    return { attached, on_lease: records.length - attached - lost, lost };
  }

  podsOf(node: string): RegisteredPod[] {
    return this.#pods.podsOf(node);
  }

  /**
   * Takes over what an earlier run knew; call before nodes can attach.
   *
   * `nodes`: with those that have no pods, and since when each is lost. Of one that has some, its pods say that.
   */
  restore(pods: readonly RegisteredPod[], nodes: ReadonlyMap<string, number | undefined> = new Map()): void {
    for (const node of nodes.keys()) this.#nodes.set(node, newRecord(node));
    for (const pod of pods) {
      this.#pods.put(pod);
      this.#nodes.set(pod.node, newRecord(pod.node));
    }
    for (const record of this.#nodes.values()) {
      const own = this.#pods.podsOf(record.node);
      const since = own.length === 0 ? [nodes.get(record.node)] : own.map(({ lostSinceMs }) => lostSinceMs);
      // One that is not lost came with a snapshot that was cut short: the node was there.
      if (since.includes(undefined)) {
        this.#startLease(record);
      } else {
        record.lostSinceMs = Math.max(...since.map(Number));
        this.#forgetLater(record, record.lostSinceMs);
      }
    }
  }

  /** Tells the pod's node what to do; kept, and told again when the node comes back. The same decision is told once. */
  decide(decision: CaptureDecision): void {
    if (!this.#pods.decide(decision)) return;
    const record = this.#recordOf(decision.uid);
    if (record?.snapshot === undefined) this.#tellDecision(record, decision);
  }

  /** The pod cannot be taken as it is: its node is told why, and the pod is forgotten. */
  reject(uid: string, reason: string): void {
    const pod = this.#pods.find(uid);
    const record = this.#recordOf(uid);
    if (pod === undefined || record === undefined) return;
    this.#tellRejected(record, pod, reason);
    this.#stop(record, uid);
  }

  /** Tells every node what is wrong with the mesh as a whole; told again to whoever attaches. */
  tellProblems(problems: readonly string[]): void {
    if (isDeepStrictEqual(problems, this.#problems)) return;
    this.#problems = problems;
    for (const record of this.#nodes.values()) this.#writeProblems(record);
  }

  close(): void {
    this.#closed = true;
    for (const { call, cancelLease, cancelRenewal } of this.#nodes.values()) {
      cancelLease();
      cancelRenewal();
      call?.end();
    }
    this.#nodes.clear();
  }

  #accept(call: Call): void {
    const caller = this.#options.callerOf(call.metadata);
    let record: NodeRecord | undefined;
    // What was on its way behind the message that was refused is not refused once more.
    let refused = false;
    const refuse = (code: status, details: string, asked = caller?.node ?? ''): void => {
      refused = true;
      this.counters.nodesRefused += 1;
      const fields = { node: asked, token_node: caller?.node ?? '', reason: details };
      this.#refusals.say(keyOf(fields.node, fields.token_node), (unsaid) =>
        this.#options.log.warn('node refused', { ...fields, unsaid }),
      );
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
        const { node } = report.value;
        const advice = `make one with \`groundwire control token --node ${node}\` for its --token-file, which is read again at each try`;
        refuse(status.PERMISSION_DENIED, `the token is for node ${caller.node}, not for ${node}; ${advice}`, node);
      } else {
        record = this.#attach(call, report.value, caller);
      }
    };
    call.on('data', ({ report }: NodeReport) => {
      if (refused) return;
      this.counters.reports += 1;
      try {
        receive(report);
      } catch (error) {
        // What is wrong with one node ends its stream, and nobody else's.
        refuse(status.RESOURCE_EXHAUSTED, errorText(error));
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

  #attach(call: Call, { node }: Hello, caller: Caller): NodeRecord {
    const { log, welcome } = this.#options;
    // Before anything is changed: a node that there is no room for leaves no trace.
    const { trustDomain, clusterId, podCidrs } = welcome(node);
    const record = this.#nodes.get(node) ?? newRecord(node);
    const peer = call.getPeer();
    if (record.call !== undefined) this.#tellTakeover(node, peer, record.call.getPeer());
    record.call?.end();
    record.cancelLease();
    record.cancelRenewal();
    record.call = call;
    record.lostSinceMs = undefined;
    record.snapshot = new Set();
    this.#nodes.set(node, record);
    this.counters.attached += 1;
    this.#refusals.reset(keyOf(node, node));
    log.info('node attached', { node, peer });
    call.write({ instruction: { $case: 'welcome', value: { trustDomain, clusterId, podCidrs: [...podCidrs] } } });
    this.#writeProblems(record);
    this.#renewToken(record, caller.token);
    return record;
  }

  #writeProblems({ call }: NodeRecord): void {
    call?.write({ instruction: { $case: 'meshProblems', value: { problems: [...this.#problems] } } });
  }

  /** After a cut that only the node has noticed, or there are two with its name: agents, or a node and a thief of its token. */
  #tellTakeover(node: string, peer: string, lastPeer: string): void {
    this.counters.attachedTwice += 1;
    this.#takeovers.say(node, (unsaid) =>
      this.#options.log.warn('node attached while it was attached', { node, peer, last_peer: lastPeer, unsaid }),
    );
  }

  /** A node that is attached always has a token of which half is left, and so has that half to come back after a cut. */
  #renewToken(record: NodeRecord, last: TokenLife): void {
    const { renewToken, clock, log } = this.#options;
    const { node } = record;
    const next = renewToken(node, last);
    this.#tellTokenEnd(node, next?.life.lineUntilMs ?? last.untilMs);
    if (next === undefined) return;
    const { token, life } = next;
    record.call?.write({ instruction: { $case: 'tokenRenewed', value: { token } } });
    this.counters.tokensRenewed += 1;
    const lifetimeMs = life.untilMs - life.fromMs;
    log.debug('join token renewed', { node, lifetime_ms: lifetimeMs });
    record.cancelRenewal = clock.setTimer(lifetimeMs / 2, () => this.#renewToken(record, life));
  }

  #tellTokenEnd(node: string, endMs: number): void {
    const { tokenNoticeMs, clock, log } = this.#options;
    if (endMs - clock.nowMs() >= tokenNoticeMs) return;
    const until = new Date(endMs).toISOString();
    const hint = `make a new one with \`groundwire control token --node ${node}\` for its --token-file`;
    this.#endings.say(node, (unsaid) =>
      log.warn('join token is not renewed beyond its end', { node, until, hint, unsaid }),
    );
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
        const { uid, captured } = report.value;
        const pod = this.#pods.find(uid);
        if (pod?.node !== record.node) return;
        this.#pods.put({ ...pod, captured });
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
    const problem = this.#pods.problemWith(pod);
    if (problem !== undefined) return this.#tellRejected(record, pod, problem);
    const isNew = this.#pods.find(pod.uid) === undefined;
    const before = this.#pods.put(pod);
    for (const one of before) this.#log('pod gone', one);
    if (isNew) this.#log('pod registered', pod);
    record.snapshot?.add(pod.uid);
    this.#options.onChange();
  }

  #stop(record: NodeRecord, uid: string): void {
    const pod = this.#pods.remove(record.node, uid);
    if (pod === undefined) return;
    this.#log('pod gone', pod);
    this.#options.onChange();
  }

  #completeSnapshot(record: NodeRecord): void {
    const { node, snapshot } = record;
    if (snapshot === undefined) return;
    record.snapshot = undefined;
    for (const { uid } of this.#pods.podsOf(node)) if (!snapshot.has(uid)) this.#stop(record, uid);
    for (const decision of this.#pods.decisionsOf(node)) this.#tellDecision(record, decision);
  }

  #recordOf(uid: string): NodeRecord | undefined {
    const pod = this.#pods.find(uid);
    return pod && this.#nodes.get(pod.node);
  }

  #tellDecision(record: NodeRecord | undefined, decision: CaptureDecision): void {
    record?.call?.write({ instruction: { $case: 'podDecision', value: toWireDecision(decision) } });
  }

  #tellRejected(record: NodeRecord, pod: RegisteredPod, reason: string): void {
    this.counters.podsRejected += 1;
    this.#options.log.warn('pod rejected', { ...fieldsOf(pod), reason });
    record.call?.write({ instruction: { $case: 'podRejected', value: { uid: pod.uid, reason } } });
  }

  #log(message: 'pod registered' | 'pod gone', pod: RegisteredPod): void {
    this.#options.log.info(message, fieldsOf(pod));
  }

  #startLease(record: NodeRecord): void {
    const { clock, graceMs, log } = this.#options;
    record.call = undefined;
    record.snapshot = undefined;
    record.cancelRenewal();
    if (this.#closed) return;
    const { node } = record;
    const pods = this.#pods.podsOf(node).length;
    // Without pods nobody misses it: so ends a node that is taken down in order.
    if (pods > 0) log.warn('node is not attached, its pods stay for the grace', { node, pods, grace_ms: graceMs });
    else log.info('node is not attached, and has no pods', { node });
    record.cancelLease = clock.setTimer(graceMs, () => this.#lose(record));
  }

  // The node may be dead, or only cut off from here with its pods alive: they stay in the mesh, so that nobody sends to
  // them in plaintext, and nobody is sent to them who has a choice.
  #lose(record: NodeRecord): void {
    const { clock, forgetMs, log, onChange, onNodeLost } = this.#options;
    const { node } = record;
    const lostSinceMs = clock.nowMs();
    const pods = this.#pods.podsOf(node);
    this.counters.leasesExpired += 1;
    record.lostSinceMs = lostSinceMs;
    log.warn('node did not come back, its pods are unhealthy until it does', {
      node,
      pods: pods.length,
      forget_ms: forgetMs,
    });
    for (const pod of pods) this.#pods.put({ ...pod, lostSinceMs });
    onNodeLost(node, lostSinceMs);
    onChange();
    this.#forgetLater(record, lostSinceMs);
  }

  #forgetLater(record: NodeRecord, lostSinceMs: number): void {
    const { clock, graceMs, forgetMs, log, onChange, onNodeForgotten } = this.#options;
    const { node } = record;
    // After a restart a node has its grace, and a clock that was set back gives no more than there is.
    const leftMs = Math.min(Math.max(lostSinceMs + forgetMs - clock.nowMs(), graceMs), forgetMs);
    record.cancelLease = clock.setTimer(leftMs, () => {
      this.counters.nodesForgotten += 1;
      log.warn('lost node forgotten, its pods are removed', { node, pods: this.#pods.podsOf(node).length });
      this.#pods.removeNode(node);
      this.#nodes.delete(node);
      onChange();
      onNodeForgotten(node);
    });
  }
}

function newRecord(node: string): NodeRecord {
  return {
    node,
    call: undefined,
    snapshot: undefined,
    lostSinceMs: undefined,
    cancelLease: () => {},
    cancelRenewal: () => {},
  };
}

function keyOf(node: string, tokenNode: string): string {
  return `${node} ${tokenNode}`;
}

function fieldsOf({ node, namespace, name, uid }: RegisteredPod): Readonly<Record<string, string>> {
  return { node, pod: `${namespace}/${name}`, uid };
}
