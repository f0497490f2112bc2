// SPDX-License-Identifier: Apache-2.0

import type { Socket } from 'node:net';
import { ConnectionShares, type Seat, type ShareCounters } from '../host/connection-shares.ts';
import type { Caller } from '../model/caller.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import { QuietLogs } from '../model/quiet-logs.ts';
import type { CallWatcher } from './authentication.ts';

// A TLS connection that has said little takes a third of a megabyte here: these are 80 MB at the most. Whoever has a token
// is through in a second, so who has had that and is not makes room; a whole mesh that comes back at once behind one address
// is let in by and by.
const STRANGERS = { max: 256, perAddressMax: 32, graceMs: 1000 };
// An agent has three, and for a while as many again when the network has swallowed the end of the first ones.
const MEMBERS = { max: 65_536, perAddressMax: 16, graceMs: 0 };

const PROOF_MS = 10_000;
const LOOK_MS = 1000;
// A handshake and a call with a token are a tenth of this.
const STRANGER_BYTES_MAX = 64 * 1024;
const REFUSALS_MAX = 8;

export interface StrangerCounters extends ShareCounters {
  /** Connections ended because no call with an accepted token came in time. */
  late: number;
  /** Connections ended because they had sent too much, or too many refused calls, without one. */
  noisy: number;
}

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  seat: Seat;
  isMember: boolean;
  refusals: number;
  cancelLook: Cancel;
}

/**
 * Holds the connections of a control plane: strangers, who have not proven themselves yet, within narrow bounds and for a few
 * seconds, and members, whom a call with an accepted token has made one, by their node. Neither takes the place of the other.
 */
export class GrpcConnections implements CallWatcher {
  readonly strangers: StrangerCounters = { displaced: 0, turnedAway: 0, late: 0, noisy: 0 };
  readonly members: ShareCounters = { displaced: 0, turnedAway: 0 };
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #endings: QuietLogs;
  readonly #strangers: ConnectionShares;
  readonly #members: ConnectionShares;
  /** By peer, as gRPC names it in a call. */
  readonly #connections = new Map<string, Connection>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
    this.#endings = new QuietLogs(clock);
    this.#strangers = new ConnectionShares(STRANGERS, this.strangers, clock);
    this.#members = new ConnectionShares(MEMBERS, this.members, clock);
  }

  /** `false`: there is no room, and the connection is ended. */
  admit(socket: Socket): boolean {
    const { remoteAddress: address, remotePort: port } = socket;
    // Who has gone already has no address any more.
    const seat =
      address === undefined ? undefined : this.#strangers.admit(address, () => this.#end(address, socket, 'displaced'));
    if (address === undefined || seat === undefined) {
      socket.destroy();
      return false;
    }
    const peer = `${address}:${port}`;
    const untilMs = this.#clock.nowMs() + PROOF_MS;
    const connection: Connection = { socket, address, seat, isMember: false, refusals: 0, cancelLook: () => {} };
    this.#connections.set(peer, connection);
    this.#look(connection, untilMs);
    socket.once('close', () => {
      connection.cancelLook();
      connection.seat.leave();
      this.#connections.delete(peer);
    });
    return true;
  }

  /** A call of the peer was accepted. */
  onAccepted(peer: string, { node }: Caller): void {
    const connection = this.#connections.get(peer);
    if (connection === undefined || connection.isMember) return;
    const { socket, seat } = connection;
    const own = this.#members.admit(node, () => socket.destroy());
    if (own === undefined) {
      socket.destroy();
      return;
    }
    connection.cancelLook();
    seat.leave();
    connection.seat = own;
    connection.isMember = true;
  }

  onRefused(peer: string): void {
    const connection = this.#connections.get(peer);
    if (connection === undefined || connection.isMember) return;
    connection.refusals += 1;
    if (connection.refusals >= REFUSALS_MAX) this.#endNoisy(connection);
  }

  /** Ends the strangers; members are ended with their streams, by who serves those. */
  close(): void {
    for (const { socket, isMember } of this.#connections.values()) if (!isMember) socket.destroy();
  }

  #look(connection: Connection, untilMs: number): void {
    connection.cancelLook = this.#clock.setTimer(LOOK_MS, () => {
      const { socket, address } = connection;
      if (this.#clock.nowMs() >= untilMs) {
        this.strangers.late += 1;
        this.#end(address, socket, 'late');
      } else if (socket.bytesRead > STRANGER_BYTES_MAX) this.#endNoisy(connection);
      else this.#look(connection, untilMs);
    });
  }

  #endNoisy({ address, socket }: Connection): void {
    this.strangers.noisy += 1;
    this.#end(address, socket, 'noisy');
  }

  #end(address: string, socket: Socket, why: 'displaced' | 'late' | 'noisy'): void {
    socket.destroy();
    this.#endings.say(address, (unsaid) =>
      this.#log.warn('connection without an accepted token ended', { peer: address, why, unsaid }),
    );
  }
}
