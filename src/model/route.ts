// SPDX-License-Identifier: Apache-2.0

import type { SocketAddress } from './address.ts';
import type { ErrorCode } from './errors.ts';
import type { SpiffeId } from './identity.ts';
import type { HopKind } from './messages.gen.ts';

/** Where workloads take HBONE. */
export const HBONE_PORT = 15_008;

/** One way a connection may go; the engine picks one in proportion to `weight` and keeps to it. */
export interface RouteChoice {
  readonly kind: HopKind;
  readonly weight: number;
  readonly nextHop: SocketAddress;
  /** `:authority` of the CONNECT; for `handoff` and `passthrough` the address the destination is to see. */
  readonly hboneAuthority: string;
  /** Who may terminate the hop: any one of these. Empty for `passthrough`. */
  readonly upstreamIdentities: readonly SpiffeId[];
  /** The workload chosen; "" outside the mesh. */
  readonly destinationUid: string;
}

/** What `resolveOutbound` decided: at least one choice. Pure data, valid until a dependency changes. */
export interface Route {
  readonly kind: 'route';
  /** The Service the connection was addressed to, `namespace/hostname`; "" when to a workload or outside. */
  readonly serviceKey: string;
  readonly choices: readonly [RouteChoice, ...RouteChoice[]];
}

/** An expected "no": the code is in ERROR_TABLE, `policy` names what refused, if a policy did. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly code: ErrorCode;
  readonly policy?: string;
}

/** What `authorize` decided about one connection to a pod of this node. */
export interface Allowance {
  readonly kind: 'allowance';
  /** The policy that allowed it; absent when no ALLOW policy applies. */
  readonly policy?: string;
}
