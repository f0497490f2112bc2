// SPDX-License-Identifier: Apache-2.0

import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';
import type { Caller } from '../model/caller.ts';
import type { Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import { QuietLogs } from '../model/quiet-logs.ts';

/** Checks a bearer token; a value with `reason` refuses, and the reason is told to the caller. */
export type VerifyToken = (token: string) => TokenVerdict | Promise<TokenVerdict>;

export type TokenVerdict = Caller | { readonly kind: 'rejected'; readonly reason: string };

/** Hears of what became of each call; `peer` is what gRPC calls its connection. */
export interface CallWatcher {
  onAccepted(peer: string, caller: Caller): void;
  onRefused(peer: string): void;
}

/** Lets no call pass without an accepted token, and remembers for the handlers who holds it. */
export class Authentication {
  readonly counters = { accepted: 0, refused: 0 };
  readonly interceptor: ServerInterceptor;
  // Keyed by the object that the handler receives: nothing that a caller sends can stand in for it.
  readonly #callers = new WeakMap<Metadata, Caller>();
  readonly #verify: VerifyToken;
  readonly #log: Log;
  readonly #refusals: QuietLogs;
  #watcher: CallWatcher | undefined;

  constructor(verify: VerifyToken, clock: Clock, log: Log) {
    this.#verify = verify;
    this.#log = log;
    this.#refusals = new QuietLogs(clock);
    this.interceptor = (_method, call) =>
      new ServerInterceptingCall(call, {
        start: (next) => {
          // What comes after the metadata waits until it has been passed on.
          const listener = new ServerListenerBuilder().withOnReceiveMetadata((metadata, pass) => {
            void this.#admit(metadata, call.getPeer()).then((reason) => {
              if (reason === undefined) pass(metadata);
              else call.sendStatus({ code: status.UNAUTHENTICATED, details: reason });
            });
          });
          next(listener.build());
        },
      });
  }

  /** At most one: the server whose calls these are. */
  watch(watcher: CallWatcher): void {
    this.#watcher = watcher;
  }

  /** The holder of the token of a call that was let pass. */
  callerOf(metadata: Metadata): Caller | undefined {
    return this.#callers.get(metadata);
  }

  async #admit(metadata: Metadata, peer: string): Promise<string | undefined> {
    const [header] = metadata.get('authorization');
    const token = typeof header === 'string' ? /^Bearer (\S+)$/i.exec(header)?.[1] : undefined;
    const result =
      token === undefined
        ? { kind: 'rejected' as const, reason: 'the call has no bearer token' }
        : await this.#verify(token);
    if ('reason' in result) {
      this.counters.refused += 1;
      const { reason } = result;
      // Its port is another one at each try.
      const host = peer.replace(/:\d+$/, '');
      this.#refusals.say(`${host} ${reason}`, (unsaid) =>
        this.#log.warn('call refused', { peer: host, reason, unsaid }),
      );
      this.#watcher?.onRefused(peer);
      return reason;
    }
    this.counters.accepted += 1;
    this.#callers.set(metadata, result);
    this.#watcher?.onAccepted(peer, result);
    return undefined;
  }
}
