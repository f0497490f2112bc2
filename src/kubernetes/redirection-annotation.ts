// SPDX-License-Identifier: Apache-2.0

import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { QuietLogs } from '../model/quiet-logs.ts';
import type { ApiClient } from './api-client.ts';
import { ApiError } from './api-error.ts';

/** By this a control plane, ours or istiod, knows that a pod speaks HBONE. */
const ANNOTATION = 'ambient.istio.io/redirection';
const RETRY = { initialMs: 200, maxMs: 30_000, jitter: 0.3 };

export interface AnnotatedPod {
  readonly namespace: string;
  readonly name: string;
}

interface Wish {
  readonly pod: AnnotatedPod;
  readonly value: string | null;
}

/** Keeps the annotation of each pod of this node at what was said last of it; what the API server does not take is tried again. */
export class RedirectionAnnotation {
  readonly counters = { written: 0, failures: 0 };
  readonly #client: Pick<ApiClient, 'send'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #outages: QuietLogs;
  readonly #wishes = new Map<string, Wish>();
  readonly #cancels = new Map<string, Cancel>();
  #closed = false;

  constructor(client: Pick<ApiClient, 'send'>, clock: Clock, log: Log) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#outages = new QuietLogs(clock);
  }

  /** `captured`: the pod is served over HBONE from now on. */
  say(uid: string, pod: AnnotatedPod, captured: boolean): void {
    const wish = { pod, value: captured ? 'enabled' : null };
    this.#wishes.set(uid, wish);
    void this.#write(uid, wish, new Backoff(RETRY));
  }

  /** The pod is gone, or nothing more is said of it. */
  forget(uid: string): void {
    this.#wishes.delete(uid);
    this.#cancels.get(uid)?.();
    this.#cancels.delete(uid);
  }

  close(): void {
    this.#closed = true;
    for (const uid of this.#wishes.keys()) this.forget(uid);
  }

  async #write(uid: string, wish: Wish, backoff: Backoff): Promise<void> {
    this.#cancels.get(uid)?.();
    const { namespace, name } = wish.pod;
    try {
      // With the uid: another pod of that name is another pod.
      const patch = { metadata: { uid, annotations: { [ANNOTATION]: wish.value } } };
      await this.#client.send('PATCH', `/api/v1/namespaces/${namespace}/pods/${name}`, patch, {
        contentType: 'application/merge-patch+json',
      });
      this.counters.written += 1;
      // Nothing is left to be said of a pod that is out of the mesh.
      if (wish.value === null && this.#wishes.get(uid) === wish) this.forget(uid);
    } catch (error) {
      if (this.#closed || this.#wishes.get(uid) !== wish) return;
      const gone = error instanceof ApiError && (error.status === 404 || error.status === 409);
      if (gone) return this.forget(uid);
      this.counters.failures += 1;
      const delayMs = Math.max(backoff.next(), error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0);
      this.#outages.say(uid, (unsaid) =>
        this.#log.warn('pod not annotated: others do not know yet how to reach it', {
          pod: `${namespace}/${name}`,
          error: errorText(error),
          retry_ms: Math.round(delayMs),
          unsaid,
        }),
      );
      this.#cancels.set(
        uid,
        this.#clock.setTimer(delayMs, () => void this.#write(uid, wish, backoff)),
      );
    }
  }
}
