// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import type { Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { ApiClient } from './api-client.ts';

/** The holder of a token that the API server vouches for. */
export interface ReviewedAccount {
  /** `namespace/name` of the service account. */
  readonly account: string;
  /** The node that the pod of the token runs on, as the API server itself wrote it into the token. */
  readonly node: string;
  /** From the token; seconds may be off, the API server decides. */
  readonly untilMs: number;
}

export type Review =
  | { readonly kind: 'accepted'; readonly holder: ReviewedAccount }
  | { readonly kind: 'rejected'; readonly reason: string };

export interface TokenReviewOptions {
  readonly client: Pick<ApiClient, 'send'>;
  /** The token must be made for one of these. */
  readonly audiences: readonly string[];
  /** Accounts, as `namespace/name`, whose holders are agents. */
  readonly accounts: readonly string[];
  readonly clock: Clock;
}

// A pod that is gone takes its token with it; so long an answer may be older than that.
const KEEP_MS = 60_000;
const KEPT_MAX = 10_000;
const NODE_CLAIM = 'authentication.kubernetes.io/node-name';

/**
 * Has the API server say who holds a token.
 *
 * An agent is worth its node: which one that is says the token's own claim (Kubernetes 1.30 and later), never the caller.
 */
export class TokenReview {
  readonly counters = { reviews: 0, failures: 0 };
  readonly #options: TokenReviewOptions;
  readonly #kept = new Map<string, { readonly review: Review; readonly untilMs: number }>();

  constructor(options: TokenReviewOptions) {
    this.#options = options;
  }

  async verify(token: string): Promise<Review> {
    const nowMs = this.#options.clock.nowMs();
    const key = createHash('sha256').update(token).digest('base64');
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.untilMs > nowMs) return kept.review;
    this.#kept.delete(key);
    const review = await this.#review(token);
    if (review.kind === 'accepted') this.#keep(key, review, nowMs);
    return review;
  }

  #keep(key: string, review: Review & { kind: 'accepted' }, nowMs: number): void {
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= KEPT_MAX && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, { review, untilMs: Math.min(nowMs + KEEP_MS, review.holder.untilMs) });
  }

  async #review(token: string): Promise<Review> {
    const { client, audiences, accounts } = this.#options;
    this.counters.reviews += 1;
    let answer: unknown;
    try {
      answer = await client.send('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences },
      });
    } catch (error) {
      this.counters.failures += 1;
      return rejected(`the API server could not be asked about the token: ${errorText(error)}`);
    }
    const status = (answer as { status?: ReviewStatus }).status ?? {};
    if (status.authenticated !== true) return rejected(status.error ?? 'the API server does not know the token');
    // A server that knows nothing of audiences names none, and then the token may be one for itself.
    if (!status.audiences?.some((audience) => audiences.includes(audience)))
      return rejected(`the token is not for ${audiences.join(' or ')}`);
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(status.user?.username ?? '');
    const name = account === null ? '' : `${account[1]}/${account[2]}`;
    if (!accounts.includes(name))
      return rejected(
        `${status.user?.username ?? 'nobody'} is no agent (--agent-accounts names ${accounts.join(', ')})`,
      );
    const [node] = status.user?.extra?.[NODE_CLAIM] ?? [];
    if (node === undefined || node === '')
      return rejected('the token names no node: a projected token of a pod, on Kubernetes 1.30 or later, does');
    return { kind: 'accepted', holder: { account: name, node, untilMs: expiryOf(token) } };
  }
}

interface ReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly audiences?: readonly string[];
  readonly user?: {
    readonly username?: string;
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

function rejected(reason: string): Review {
  return { kind: 'rejected', reason };
}

/** What the claims say; the signature is the API server's to check, and it has. */
function expiryOf(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    const { exp } = claims as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : 0;
  } catch {
    return 0;
  }
}
