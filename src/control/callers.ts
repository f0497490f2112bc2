// SPDX-License-Identifier: Apache-2.0

import type { VerifyToken } from '../discovery/authentication.ts';
import type { JoinTokens } from '../identity/join-token.ts';
import type { ApiClient } from '../kubernetes/api-client.ts';
import { TokenReview } from '../kubernetes/token-review.ts';
import type { Clock } from '../model/clock.ts';
import type { SourceConfig } from './source.ts';

/** Who may call, and what was asked about them. */
export interface Callers {
  readonly verify: VerifyToken;
  readonly counters: { readonly token: TokenReview['counters'] };
}

/** With Kubernetes an agent's pod, by the API server's word; else the holder of a join token. */
export function openCallers(
  source: SourceConfig,
  client: ApiClient | undefined,
  tokens: JoinTokens,
  clock: Clock,
): Callers {
  if (source.kind === 'directory' || client === undefined)
    return { verify: (token) => tokens.verify(token), counters: { token: { reviews: 0, failures: 0 } } };
  const { tokenAudiences: audiences, agentAccounts: accounts } = source;
  const reviews = new TokenReview({ client, audiences, accounts, clock });
  const verify: VerifyToken = async (token) => {
    const review = await reviews.verify(token);
    if (review.kind === 'rejected') return review;
    const { node, untilMs } = review.holder;
    const nowMs = clock.nowMs();
    // The kubelet renews it; we never do.
    return { node, token: { fromMs: nowMs, untilMs, lineFromMs: nowMs, lineUntilMs: undefined } };
  };
  return { verify, counters: { token: reviews.counters } };
}
