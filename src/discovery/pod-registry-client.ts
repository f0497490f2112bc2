// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '../model/clock.ts';
import { StreamError } from '../model/grpc-status.ts';
import type { Log } from '../model/log.ts';
import { type NodeInstruction, type NodeReport, PodRegistryClient as Stub } from '../wire/groundwire/pods.ts';
import type { ControlPlane } from './control-plane.ts';
import {
  type CaptureDecision,
  fromWireDecision,
  type RegistryWelcome,
  type ReportedPod,
  toWirePod,
} from './pod-report.ts';
import { type DialledStream, StreamKeeper, type StreamStatus } from './stream-keeper.ts';

const RECONNECT = { initialMs: 10, maxMs: 5_000, jitter: 0.2 };
// Who is refused is so until somebody does something about it.
const REFUSED_RECONNECT = { initialMs: 1_000, maxMs: 60_000, jitter: 0.2 };
// Longer than any pause between tries: two agents of one node end each other's streams, and would never pause otherwise.
const STANDING_MS = 10_000;

export interface PodRegistryClientOptions {
  readonly controlPlane: ControlPlane;
  readonly node: string;
  readonly addresses: readonly string[];
  /** Every pod of this node now; told in full at each connection. */
  readonly snapshot: () => readonly ReportedPod[];
  readonly onWelcome: (welcome: RegistryWelcome) => void;
  readonly onDecision: (decision: CaptureDecision) => void;
  readonly onRejected: (uid: string, reason: string) => void;
  /** What is wrong with the mesh as a whole, all of it, in words. */
  readonly onProblems: (problems: readonly string[]) => void;
  /** Called as a stream is opened. What it returns takes the newer tokens that come over that stream; false ends it. */
  readonly openTokenLine: () => (token: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

/** The node's side of the pod registry. What happens while there is no stream is told by the next one's snapshot. */
export class PodRegistryClient {
  readonly counters = { connects: 0, failures: 0 };
  readonly #options: PodRegistryClientOptions;
  readonly #stream: StreamKeeper<NodeReport, NodeInstruction>;
  /** Of the stream that was dialled last. */
  #takeToken: (token: string) => boolean = () => false;

  constructor(options: PodRegistryClientOptions) {
    const { clock, log, random } = options;
    this.#options = options;
    this.#stream = new StreamKeeper({
      dial: () => this.#dial(),
      greet: () => this.#greet(),
      receive: ({ instruction }) => this.#receive(instruction),
      ended: { message: 'pod registry stream ended', reconnect: RECONNECT },
      refused: { message: 'node refused by the control plane', reconnect: REFUSED_RECONNECT },
      standingMs: STANDING_MS,
      counters: this.counters,
      clock,
      log,
      random,
    });
  }

  open(): void {
    this.#stream.open();
  }

  /** The control plane is there again: what is left of a pause is not waited for. Not before `open`. */
  hurry(): void {
    this.#stream.hurry();
  }

  close(): void {
    this.#stream.close();
  }

  status(): StreamStatus {
    return this.#stream.status();
  }

  /** The pod has to be in `snapshot()` by now. */
  started(pod: ReportedPod): void {
    this.#tell({ $case: 'podStarted', value: { pod: toWirePod(pod) } });
  }

  stopped(uid: string): void {
    this.#tell({ $case: 'podStopped', value: { uid } });
  }

  captured(uid: string, captured: boolean): void {
    this.#tell({ $case: 'podCaptured', value: { uid, captured } });
  }

  #tell(report: NonNullable<NodeReport['report']>): void {
    this.#stream.write({ report });
  }

  #dial(): DialledStream<NodeReport, NodeInstruction> {
    const { controlPlane, openTokenLine } = this.#options;
    this.#takeToken = openTokenLine();
    const { address, credentials, options } = controlPlane.dial();
    const client = new Stub(address, credentials, options);
    return { client, call: client.attach(controlPlane.callMetadata()) };
  }

  #greet(): void {
    const { node, addresses, snapshot } = this.#options;
    this.#tell({ $case: 'hello', value: { node, addresses: [...addresses] } });
    for (const pod of snapshot()) this.started(pod);
    this.#tell({ $case: 'snapshotDone', value: {} });
  }

  #receive(instruction: NodeInstruction['instruction']): void {
    switch (instruction?.$case) {
      case 'welcome': {
        this.#stream.onAnswered();
        const { trustDomain, clusterId, podCidrs } = instruction.value;
        this.#options.onWelcome({ trustDomain, clusterId, podCidrs });
        return;
      }
      case 'podDecision':
        this.#options.onDecision(fromWireDecision(instruction.value));
        return;
      case 'podRejected':
        this.#options.onRejected(instruction.value.uid, instruction.value.reason);
        return;
      case 'meshProblems':
        this.#options.onProblems(instruction.value.problems);
        return;
      case 'tokenRenewed':
        this.#renewToken(instruction.value.token);
        return;
      case undefined:
        this.#options.log.warn('instruction of a later version ignored');
    }
  }

  // Only a stream that was opened with the token of now is given newer ones of it.
  #renewToken(token: string): void {
    if (this.#takeToken(token)) return;
    this.#stream.end(new StreamError('UNAVAILABLE', 'opened anew with the token that was given since'));
  }
}
