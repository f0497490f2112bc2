// SPDX-License-Identifier: Apache-2.0

import type { ClientDuplexStream } from '@grpc/grpc-js';
import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { fromGrpcStatus, StreamError } from '../model/grpc-status.ts';
import type { Log } from '../model/log.ts';
import { QuietLog } from '../model/quiet-log.ts';
import { type ControlPlane, FIRST_ANSWER_MS, silenceError } from './control-plane.ts';
import { type NodeInstruction, type NodeReport, PodRegistryClient as Stub } from '../wire/groundwire/pods.ts';
import {
  type CaptureDecision,
  fromWireDecision,
  type RegistryWelcome,
  type ReportedPod,
  toWirePod,
} from './pod-report.ts';

const RECONNECT = { initialMs: 10, maxMs: 5_000, jitter: 0.2 };
// Who is refused is so until somebody does something about it.
const REFUSED_RECONNECT = { initialMs: 1_000, maxMs: 60_000, jitter: 0.2 };
// Longer than any pause between tries: two agents of one node end each other's streams, and would never pause otherwise.
const STANDING_MS = 10_000;
const REFUSALS: ReadonlySet<string> = new Set(['PERMISSION_DENIED', 'UNAUTHENTICATED']);

export interface PodRegistryClientOptions {
  readonly controlPlane: ControlPlane;
  readonly node: string;
  readonly addresses: readonly string[];
  /** Every pod of this node now; told in full at each connection. */
  readonly snapshot: () => readonly ReportedPod[];
  readonly onWelcome: (welcome: RegistryWelcome) => void;
  readonly onDecision: (decision: CaptureDecision) => void;
  readonly onRejected: (uid: string, reason: string) => void;
  /** Called as a stream is opened. What it returns takes the newer tokens that come over that stream; false ends it. */
  readonly openTokenLine: () => (token: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
}

type Call = ClientDuplexStream<NodeReport, NodeInstruction>;

type State =
  | { readonly kind: 'waiting'; readonly lastError: string; readonly abort: Cancel }
  | {
      readonly kind: 'open';
      readonly call: Call;
      readonly takeToken: (token: string) => boolean;
      readonly abort: Cancel;
    }
  | { readonly kind: 'closed'; readonly abort: Cancel };

/** The node's side of the pod registry. What happens while there is no stream is told by the next one's snapshot. */
export class PodRegistryClient {
  readonly counters = { connects: 0, failures: 0 };
  readonly #options: PodRegistryClientOptions;
  readonly #backoff: Backoff;
  readonly #refusedBackoff: Backoff;
  readonly #outage: QuietLog;
  /** Of a stream: the deadline of its welcome, and from then on the time after which it stands. */
  #cancelTrial: Cancel = nothing;
  #state: State = { kind: 'waiting', lastError: '', abort: nothing };

  constructor(options: PodRegistryClientOptions) {
    this.#options = options;
    this.#backoff = new Backoff(RECONNECT, options.random);
    this.#refusedBackoff = new Backoff(REFUSED_RECONNECT, options.random);
    this.#outage = new QuietLog(options.clock);
  }

  open(): void {
    this.#connect();
  }

  /** The control plane is there again: what is left of a pause is not waited for. Not before `open`. */
  hurry(): void {
    if (this.#state.kind === 'waiting' && this.#state.lastError !== '') this.#connect();
  }

  close(): void {
    this.#setState({ kind: 'closed', abort: nothing });
  }

  status(): { state: State['kind']; lastError: string } {
    return { state: this.#state.kind, lastError: this.#state.kind === 'waiting' ? this.#state.lastError : '' };
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
    if (this.#state.kind === 'open') this.#state.call.write({ report });
  }

  #setState(state: State): void {
    const before = this.#state;
    this.#state = state;
    this.#cancelTrial();
    before.abort();
  }

  #connect(): void {
    const { controlPlane, node, addresses, snapshot, openTokenLine, clock } = this.#options;
    this.counters.connects += 1;
    try {
      const takeToken = openTokenLine();
      const { address, credentials, options } = controlPlane.dial();
      const client = new Stub(address, credentials, options);
      const call = client.attach(controlPlane.callMetadata());
      const abort = (): void => {
        call.cancel();
        client.close();
      };
      this.#setState({ kind: 'open', call, takeToken, abort });
      const fail = (error: StreamError): void => {
        if (this.#state.kind === 'open' && this.#state.call === call) this.#waitAfter(error);
      };
      this.#cancelTrial = clock.setTimer(FIRST_ANSWER_MS, () => fail(silenceError()));
      call.on('data', ({ instruction }: NodeInstruction) => {
        if (this.#state.kind === 'open' && this.#state.call === call) this.#receive(instruction);
      });
      call.on('error', (error) => fail(fromGrpcStatus(error)));
      call.on('end', () => fail(new StreamError('UNAVAILABLE', 'the control plane ended the stream', true)));
      this.#tell({ $case: 'hello', value: { node, addresses: [...addresses] } });
      for (const pod of snapshot()) this.started(pod);
      this.#tell({ $case: 'snapshotDone', value: {} });
    } catch (error) {
      this.#waitAfter(fromGrpcStatus(error));
    }
  }

  #waitAfter(error: StreamError): void {
    const { clock, log } = this.#options;
    this.counters.failures += 1;
    const isRefused = REFUSALS.has(error.code);
    const delayMs = (isRefused ? this.#refusedBackoff : this.#backoff).next();
    this.#outage.say((unsaid) => {
      const fields = {
        code: error.code,
        reason: error.detail,
        retry_ms: Math.round(delayMs),
        failures: this.counters.failures,
        unsaid,
      };
      if (isRefused) log.error('node refused by the control plane', fields);
      else log.warn('pod registry stream ended', fields);
    });
    this.#setState({
      kind: 'waiting',
      lastError: error.message,
      abort: clock.setTimer(delayMs, () => this.#connect()),
    });
  }

  #onStanding(): void {
    this.#backoff.reset();
    this.#refusedBackoff.reset();
    this.#outage.reset();
  }

  #receive(instruction: NodeInstruction['instruction']): void {
    switch (instruction?.$case) {
      case 'welcome': {
        this.#cancelTrial();
        this.#cancelTrial = this.#options.clock.setTimer(STANDING_MS, () => this.#onStanding());
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
      case 'tokenRenewed':
        this.#takeToken(instruction.value.token);
        return;
      case undefined:
        this.#options.log.warn('instruction of a later version ignored');
    }
  }

  // Only a stream that was opened with the token of now is given newer ones of it.
  #takeToken(token: string): void {
    if (this.#state.kind !== 'open' || this.#state.takeToken(token)) return;
    this.#waitAfter(new StreamError('UNAVAILABLE', 'opened anew with the token that was given since', true));
  }
}

function nothing(): void {}
