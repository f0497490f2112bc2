// SPDX-License-Identifier: Apache-2.0

import type { SpiffeId } from './identity.ts';
import type { Service } from './service.ts';
import type { Workload } from './workload.ts';

/** Whose connection a flow counts. For inbound flows the source comes from the peer label. */
export interface FlowFacts {
  readonly reporter: 'source' | 'destination';
  /** Whether TLS carried it; a handoff within the node has no TLS, and `unknown` is Istio's word for that. */
  readonly security: 'mutual_tls' | 'unknown';
  readonly source?: Workload;
  /** Who the source of an inbound flow proved to be; without it nobody is named. */
  readonly sourceIdentity?: SpiffeId;
  readonly destination?: Workload;
  readonly service?: Service;
}
