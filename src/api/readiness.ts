// SPDX-License-Identifier: Apache-2.0

import type { HttpRoute } from './http.ts';
import type { Scrapes } from './scrapes.ts';

/** Says which tasks must still be done before this node is ready. */
export interface Readiness {
  readonly pending: readonly string[];
}

/** What keeps an agent from being ready, in the words of ztunnel; that no certificate is to be had it does not look at. */
export function pendingTasks(state: {
  readonly hasMesh: boolean;
  readonly isMoving: boolean;
  readonly hasNoCertificate: boolean;
}): readonly string[] {
  return [
    ...(state.hasMesh ? [] : ['state manager']),
    ...(state.isMoving ? ['workload proxy manager'] : []),
    ...(state.hasNoCertificate ? ['certificate manager'] : []),
  ];
}

export function readinessRoutes(readiness: Readiness): readonly HttpRoute[] {
  return [
    // Says that the process turns, and nothing else: to be started again helps nobody whose control plane is away.
    { method: 'GET', path: '/healthz/live', handle: () => ({ status: 200, text: 'live\n' }) },
    {
      method: 'GET',
      path: '/healthz/ready',
      handle: () => {
        const { pending } = readiness;
        if (pending.length === 0) return { status: 200, text: 'ready\n' };
        return { status: 500, text: `not ready, pending: ${pending.join(', ')}\n` };
      },
    },
  ];
}

/** Prometheus text, under both paths that scrapers of a mesh use. */
export function metricsRoutes(scrapes: Scrapes): readonly HttpRoute[] {
  return ['/metrics', '/stats/prometheus'].map((path) => ({
    method: 'GET',
    path,
    handle: async ({ gone }) => ({ status: 200, ...(await scrapes.ask(gone)) }),
  }));
}
