// SPDX-License-Identifier: Apache-2.0

import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ConnectionShares, type Seat, type ShareCounters } from '../host/connection-shares.ts';
import type { Cancel, Clock } from '../model/clock.ts';

/** What a door grants its connections. */
export interface HttpLimits {
  /** Connections at once, over all and of one address. */
  readonly connectionsMax: number;
  readonly perAddressMax: number;
  /** From the opening of a connection, or its last answer, to the end of a request's head. */
  readonly headMs: number;
  /** From there to the end of the answer; `undefined` where an answer may take its time, as that of a pod that is held. */
  readonly answerMs: number | undefined;
}

/** For callers of whom any pod may be one: generous for who asks, tight for who only sits there. */
export const HTTP_LIMITS: HttpLimits = { connectionsMax: 128, perAddressMax: 16, headMs: 6000, answerMs: 30_000 };

/** So long a refused caller may read why. */
const LINGER_MS = 1000;

export interface HttpConnectionCounters extends ShareCounters {
  /** Connections ended because a request did not come, or its answer was not taken, in time. */
  late: number;
}

interface Connection {
  readonly seat: Seat;
  isServed: boolean;
  cancelDeadline: Cancel;
}

/**
 * Keeps the connections of one server within its limits.
 *
 * Node's own deadlines are looked at every 30 s, and leave a connection open whose peer does not close it; these are exact,
 * and end in `destroy`.
 */
export class HttpConnections {
  readonly #limits: HttpLimits;
  readonly #counters: HttpConnectionCounters;
  readonly #clock: Clock;
  readonly #shares: ConnectionShares;
  readonly #connections = new WeakMap<Socket, Connection>();

  constructor(server: Server, limits: HttpLimits, counters: HttpConnectionCounters, clock: Clock) {
    this.#limits = limits;
    this.#counters = counters;
    this.#clock = clock;
    const { connectionsMax: max, perAddressMax } = limits;
    this.#shares = new ConnectionShares({ max, perAddressMax, graceMs: 0 }, counters, clock);
    server.on('connection', (socket: Socket) => this.#open(socket));
    server.headersTimeout = 0;
    server.requestTimeout = 0;
    // Only what the header `keep-alive` says: the connection is closed by `headMs`.
    server.keepAliveTimeout = Math.max(limits.headMs - 1000, 0);
  }

  /** A request has come; `false` when the one before is not answered yet: pipelining is a flood in one packet. */
  serve(socket: Socket, response: ServerResponse): boolean {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.isServed) return false;
    const { answerMs } = this.#limits;
    connection.isServed = true;
    connection.seat.serve();
    connection.cancelDeadline();
    if (answerMs !== undefined) connection.cancelDeadline = this.#clock.setTimer(answerMs, () => this.#endLate(socket));
    response.once('close', () => this.#rest(socket, connection));
    return true;
  }

  /** Says why, and is done with the connection whether or not its peer is. */
  refuse(socket: Socket, statusLine: string): void {
    const connection = this.#connections.get(socket);
    if (!socket.writable || connection === undefined) {
      socket.destroy();
      return;
    }
    socket.end(`HTTP/1.1 ${statusLine}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    connection.cancelDeadline();
    connection.cancelDeadline = this.#clock.setTimer(LINGER_MS, () => socket.destroy());
  }

  #open(socket: Socket): void {
    const seat = this.#shares.admit(socket.remoteAddress ?? '', () => socket.destroy());
    if (seat === undefined) {
      socket.destroy();
      return;
    }
    const connection: Connection = { seat, isServed: true, cancelDeadline: () => {} };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      connection.cancelDeadline();
      seat.leave();
    });
    this.#rest(socket, connection);
  }

  #rest(socket: Socket, connection: Connection): void {
    if (socket.destroyed) return;
    const { bytesRead } = socket;
    connection.isServed = false;
    connection.seat.rest();
    connection.cancelDeadline();
    connection.cancelDeadline = this.#clock.setTimer(this.#limits.headMs, () => {
      // One that was answered before and asks nothing more has only been kept alive.
      if (bytesRead > 0 && socket.bytesRead === bytesRead) socket.destroy();
      else this.#endLate(socket);
    });
  }

  #endLate(socket: Socket): void {
    this.#counters.late += 1;
    socket.destroy();
  }
}
