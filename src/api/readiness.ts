// SPDX-License-Identifier: Apache-2.0

import type { HttpRoute } from './http.ts';

/** The tasks that must be done before this node is ready; each part strikes off its own. */
export class Readiness {
  readonly #pending: Set<string>;

  constructor(tasks: readonly string[]) {
    this.#pending = new Set(tasks);
  }

  done(task: string): void {
    this.#pending.delete(task);
  }

  get pending(): readonly string[] {
    return [...this.#pending];
  }
}

export function readinessRoutes(readiness: Pick<Readiness, 'pending'>): readonly HttpRoute[] {
  return [
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
export function metricsRoutes(
  render: () => Promise<{ readonly text: string; readonly type: string }>,
): readonly HttpRoute[] {
  return ['/metrics', '/stats/prometheus'].map((path) => ({
    method: 'GET',
    path,
    handle: async () => ({ status: 200, ...(await render()) }),
  }));
}
