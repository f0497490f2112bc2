// SPDX-License-Identifier: Apache-2.0

import type { HopKind, SocketAddress } from '../model/route.ts';

// What the engine asks and what it is answered, in the words of its messages, and the bits by which an answer says which
// fields of its question it looked at. The composition root passes them through unchanged; declared here again because a
// decision must not know that there is an engine.

export interface OutboundQuestion {
  readonly kind: 'OutboundQuestion';
  readonly question: bigint;
  readonly pod: number;
  readonly originalDst: SocketAddress;
}

export interface InboundQuestion {
  readonly kind: 'InboundQuestion';
  readonly question: bigint;
  readonly pod: number;
  readonly security: 'mutual_tls' | 'handoff' | 'none';
  /** "" when the connection did not prove one. */
  readonly identity: string;
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** `host:port` when the destination was named and not numbered, else "". */
  readonly authority: string;
  /** Host name of the Service that the source says it dialled; "" when it says none. For telemetry. */
  readonly service: string;
}

export type Question = OutboundQuestion | InboundQuestion;

export interface AnswerChoice {
  readonly kind: HopKind;
  readonly weight: number;
  readonly nextHop: SocketAddress;
  readonly hboneAuthority: string;
  readonly upstreamIdentities: readonly string[];
  readonly destinationPod: number;
  readonly flowLabel: number;
}

export interface OutboundAnswer {
  readonly kind: 'OutboundAnswer';
  readonly question: bigint;
  readonly verdict: bigint;
  /** Number in ERROR_TABLE; 0 = go. */
  readonly code: number;
  readonly flowLabel: number;
  readonly choices: readonly AnswerChoice[];
  readonly baggage: string;
  readonly serviceHostname: string;
  /** Milliseconds for which it holds; 0: until it is taken back. */
  readonly keptMs: number;
}

export interface InboundAnswer {
  readonly kind: 'InboundAnswer';
  readonly question: bigint;
  readonly verdict: bigint;
  readonly code: number;
  readonly consulted: number;
  readonly deliverPort: number;
  readonly flowLabel: number;
  readonly baggage: string;
  readonly keptMs: number;
}

export type Answer = OutboundAnswer | InboundAnswer;

/** Bits of `consulted`; a test holds them to those of the engine's messages. */
export const CONSULTED = { identity: 1, sourceAddress: 2, destinationPort: 4, authority: 8, service: 16 } as const;
export const CONSULTED_ALL = Object.values(CONSULTED).reduce((sum, bit) => sum + bit, 0);
