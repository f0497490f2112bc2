// SPDX-License-Identifier: Apache-2.0

import { HttpError, type HttpRoute } from './http.ts';

/** Where an agent that found the node taken tells the one that has it: it has no endpoint of its own to count that. */
export const REFUSED_AGENTS_PATH = '/v1/refused-agents';

/** Only on the agent's socket, as it counts. */
export function refusedAgentRoutes(onRefused: (pid: number) => void): readonly HttpRoute[] {
  return [
    {
      method: 'POST',
      path: REFUSED_AGENTS_PATH,
      handle: async ({ readJson }) => {
        const { pid } = ((await readJson()) ?? {}) as { readonly pid?: unknown };
        if (typeof pid !== 'number' || !Number.isSafeInteger(pid))
          throw new HttpError(400, 'field pid must be a number');
        onRefused(pid);
        return { status: 200, json: {} };
      },
    },
  ];
}
