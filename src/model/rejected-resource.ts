// SPDX-License-Identifier: Apache-2.0

import type { NetworkAddress } from './service.ts';

/** What could be read of a resource that was rejected: enough to refuse where it would have had a say. */
export interface ResourceRemains {
  readonly kind: 'workload' | 'service' | 'policy';
  /** Of a workload or Service: where it is reached. */
  readonly addresses: readonly NetworkAddress[];
  /** Of a policy: the namespace where it holds by itself, "" everywhere; absent when only workloads that name it have it. */
  readonly scope?: string;
}

/** A resource that was not taken; the one known before, if any, still stands. */
export interface RejectedResource extends ResourceRemains {
  /** Its name in xDS. */
  readonly name: string;
  readonly reason: string;
}
