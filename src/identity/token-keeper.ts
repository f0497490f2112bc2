// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import { writeFileAtomically } from '../host/atomic-file.ts';
import type { TokenLife } from '../model/caller.ts';
import type { Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import { isMissing } from '../model/file-error.ts';
import type { Log } from '../model/log.ts';
import { readTokenLife } from './join-token.ts';
import { readSecret } from './secret-file.ts';

export interface TokenKeeperOptions {
  /** The token that the operator gave, read again at each use. Throws when there is none. */
  readonly readGiven: () => string;
  /** Where the newest token is kept over a restart, 0600. What the operator gave is never written. */
  readonly path: string;
  /** A token, or a line of tokens, of which less than this share of its life is left is a problem. */
  readonly scarceShare: number;
  /** Who brings a newer one while this one is valid, and what to do when it is not any more: in words. */
  readonly renewal: string;
  readonly remedy: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The newest token, and which one of the operator's it goes back to. */
interface Renewal {
  readonly ofGiven: string;
  readonly token: string;
}

/**
 * The token with which this node's calls are made: the one the operator gave, or the newest of those that the control
 * plane gave in its place. Another one from the operator ends that line: it may be of another control plane.
 */
export class TokenKeeper {
  readonly counters = { renewed: 0, notKept: 0, outdated: 0 };
  readonly #options: TokenKeeperOptions;
  #renewal: Renewal | undefined;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    this.#renewal = this.#load();
  }

  /** Throws what `readGiven` throws. */
  current(): string {
    const given = this.#options.readGiven();
    return this.#renewal?.ofGiven === digestOf(given) ? this.#renewal.token : given;
  }

  /**
   * For a stream that is opened with `current()`: takes the newer tokens that come over it. Throws what `readGiven` throws.
   *
   * A newer one is used from then on, also when it cannot be kept. It belongs to the token that the operator had given when
   * the stream was opened: false when that is another one by now, and a stream is to be opened with that.
   */
  openLine(): (token: string) => boolean {
    const ofGiven = digestOf(this.#options.readGiven());
    return (token) => this.#renew({ ofGiven, token });
  }

  #renew(renewal: Renewal): boolean {
    const { path, log } = this.#options;
    if (this.#isReplaced(renewal.ofGiven)) {
      this.counters.outdated += 1;
      log.info('renewed join token not used, another one has been given since the last was used');
      return false;
    }
    this.counters.renewed += 1;
    this.#renewal = renewal;
    try {
      writeFileAtomically(path, JSON.stringify(renewal), 0o600);
    } catch (error) {
      this.counters.notKept += 1;
      log.warn('join token not kept, a restart goes back to the one given', { path, reason: errorText(error) });
    }
    return true;
  }

  /** Who took the given one away has not given another. */
  #isReplaced(ofGiven: string): boolean {
    try {
      return digestOf(this.#options.readGiven()) !== ofGiven;
    } catch {
      return false;
    }
  }

  /** Of the token in use; nothing when it does not say, or cannot be read. */
  life(): TokenLife | undefined {
    try {
      return readTokenLife(this.current());
    } catch {
      return undefined;
    }
  }

  /** What a person should know of it, if anything. */
  problem(): string | undefined {
    const { clock, scarceShare, renewal, remedy } = this.#options;
    const life = this.life();
    if (life === undefined) return undefined;
    const { fromMs, untilMs, lineFromMs, lineUntilMs = Infinity } = life;
    const nowMs = clock.nowMs();
    const isScarce = (beginMs: number, endMs: number): boolean => endMs - nowMs < (endMs - beginMs) * scarceShare;
    const end = formatTime(untilMs);
    if (untilMs <= nowMs)
      return `the join token ended at ${end}, and nothing is signed for this node any more: ${remedy}`;
    if (untilMs < lineUntilMs && isScarce(fromMs, untilMs))
      return `the join token ends at ${end} and no newer one has come: ${renewal}; else ${remedy}`;
    return isScarce(lineFromMs, lineUntilMs)
      ? `the join token is renewed until ${formatTime(lineUntilMs)} and not beyond: ${remedy}`
      : undefined;
  }

  #load(): Renewal | undefined {
    const { path, log } = this.#options;
    try {
      const { ofGiven, token } = JSON.parse(readSecret(path)) as Partial<Renewal>;
      return { ofGiven: String(ofGiven), token: String(token) };
    } catch (error) {
      if (!isMissing(error)) {
        log.warn('kept join token not used, going back to the one given', { path, reason: errorText(error) });
      }
      return undefined;
    }
  }
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}
