// SPDX-License-Identifier: Apache-2.0

// One stream to the control plane, kept alive for ever:
//
//   Waiting ──pause over──> Open ──first answer, and a while──> Open (it stands: pauses are short again)
//      ^                      │ ended, refused, silent
//      └────────pause─────────┘                          close() from anywhere: Closed

import type { ClientDuplexStream } from '@grpc/grpc-js';
import { Backoff, type BackoffOptions } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { fromGrpcStatus, StreamError } from '../model/grpc-status.ts';
import type { Log } from '../model/log.ts';
import { QuietLog } from '../model/quiet-log.ts';

// A control plane that has not answered a new stream by then is taken for dead.
const FIRST_ANSWER_MS = 10_000;
const REFUSALS: ReadonlySet<string> = new Set(['PERMISSION_DENIED', 'UNAUTHENTICATED']);

/** A stream, and the client that is closed with it. */
export interface DialledStream<Request, Response> {
  readonly client: { close(): void };
  readonly call: ClientDuplexStream<Request, Response>;
}

/** How the end of a stream is told, and how long the pauses after it are. */
export interface EndOptions {
  readonly message: string;
  readonly reconnect: BackoffOptions;
}

export interface StreamKeeperOptions<Request, Response> {
  /** What it throws ends this try like any other. */
  readonly dial: () => DialledStream<Request, Response>;
  /** Says the first words on a stream that was dialled. */
  readonly greet: () => void;
  readonly receive: (response: Response) => void;
  /** Called at each end, while the stream is still the open one. */
  readonly onEnded?: (error: StreamError) => void;
  readonly ended: EndOptions;
  /** For who is refused, which is so until somebody does something about it. Default: as any other end. */
  readonly refused?: EndOptions;
  /** A stream stands when this long has gone by since its first answer. */
  readonly standingMs: number;
  /** Whose they are. */
  readonly counters: { connects: number; failures: number };
  readonly clock: Clock;
  readonly log: Log;
  readonly random: (() => number) | undefined;
}

type State<Request, Response> =
  | { readonly kind: 'waiting'; readonly lastError: string; readonly abort: Cancel }
  | { readonly kind: 'open'; readonly call: ClientDuplexStream<Request, Response>; readonly abort: Cancel }
  | { readonly kind: 'closed'; readonly abort: Cancel };

export interface StreamStatus {
  readonly state: 'waiting' | 'open' | 'closed';
  /** Why the last stream ended, while the next one is waited for. */
  readonly lastError: string;
}

/** Dials a stream to the control plane, and another one whenever it ends, with pauses that grow until one stands. */
export class StreamKeeper<Request, Response> {
  readonly #options: StreamKeeperOptions<Request, Response>;
  readonly #backoff: Backoff;
  readonly #refusedBackoff: Backoff;
  readonly #outage: QuietLog;
  /** Of a stream: the deadline of its first answer, and from then on the time after which it stands. */
  #cancelTrial: Cancel = nothing;
  #state: State<Request, Response> = { kind: 'waiting', lastError: '', abort: nothing };

  constructor(options: StreamKeeperOptions<Request, Response>) {
    const { ended, refused, clock, random } = options;
    this.#options = options;
    this.#backoff = new Backoff(ended.reconnect, random);
    this.#refusedBackoff = refused === undefined ? this.#backoff : new Backoff(refused.reconnect, random);
    this.#outage = new QuietLog(clock);
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

  status(): StreamStatus {
    const state = this.#state;
    return { state: state.kind, lastError: state.kind === 'waiting' ? state.lastError : '' };
  }

  /** Writes to the stream that is open; where there is none, nobody is told. */
  write(request: Request): void {
    if (this.#state.kind === 'open') this.#state.call.write(request);
  }

  /** What was received is the first answer on its stream. */
  onAnswered(): void {
    const { standingMs, clock } = this.#options;
    this.#cancelTrial();
    if (standingMs === 0) this.#onStanding();
    else this.#cancelTrial = clock.setTimer(standingMs, () => this.#onStanding());
  }

  /** Ends the stream that is open, and dials the next one after a pause. */
  end(error: StreamError): void {
    const { onEnded, counters, clock, log, ended, refused } = this.#options;
    counters.failures += 1;
    onEnded?.(error);
    const refusal = REFUSALS.has(error.code) ? refused : undefined;
    const delayMs = (refusal === undefined ? this.#backoff : this.#refusedBackoff).next();
    this.#outage.say((unsaid) => {
      const fields = {
        code: error.code,
        reason: error.detail,
        retry_ms: Math.round(delayMs),
        failures: counters.failures,
        unsaid,
      };
      if (refusal === undefined) log.warn(ended.message, fields);
      else log.error(refusal.message, fields);
    });
    this.#setState({
      kind: 'waiting',
      lastError: error.message,
      abort: clock.setTimer(delayMs, () => this.#connect()),
    });
  }

  #connect(): void {
    const { dial, greet, receive, counters, clock } = this.#options;
    counters.connects += 1;
    try {
      const { client, call } = dial();
      const abort = (): void => {
        call.cancel();
        client.close();
      };
      this.#setState({ kind: 'open', call, abort });
      const isCurrent = (): boolean => this.#state.kind === 'open' && this.#state.call === call;
      const fail = (error: StreamError): void => {
        if (isCurrent()) this.end(error);
      };
      const silence = `the control plane did not answer in ${FIRST_ANSWER_MS} ms`;
      this.#cancelTrial = clock.setTimer(FIRST_ANSWER_MS, () => fail(new StreamError('UNAVAILABLE', silence)));
      call.on('data', (response: Response) => {
        if (isCurrent()) receive(response);
      });
      call.on('error', (error) => fail(fromGrpcStatus(error)));
      call.on('end', () => fail(new StreamError('UNAVAILABLE', 'the control plane ended the stream')));
      greet();
    } catch (error) {
      this.end(fromGrpcStatus(error));
    }
  }

  #onStanding(): void {
    this.#backoff.reset();
    this.#refusedBackoff.reset();
    this.#outage.reset();
  }

  #setState(state: State<Request, Response>): void {
    const before = this.#state;
    this.#state = state;
    this.#cancelTrial();
    before.abort();
  }
}

function nothing(): void {}
