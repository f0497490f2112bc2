// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import type { ApiClient } from './api-client.ts';
import { ApiError } from './api-error.ts';

const NAME = 'groundwire-ca-root-cert';
const FIELD = 'root-cert.pem';
const CHECK_MS = 60_000;
const RETRY_MS = 5_000;

/** Keeps the ConfigMap from which agents take the root that they trust the control plane by. */
export class RootPublisher {
  readonly counters = { written: 0, failures: 0 };
  readonly #client: Pick<ApiClient, 'get' | 'send'>;
  readonly #namespace: string;
  readonly #rootsPem: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #cancel: Cancel | undefined;
  #closed = false;

  constructor(
    client: Pick<ApiClient, 'get' | 'send'>,
    { namespace, rootsPem }: { readonly namespace: string; readonly rootsPem: string },
    clock: Clock,
    log: Log,
  ) {
    this.#client = client;
    this.#namespace = namespace;
    this.#rootsPem = rootsPem;
    this.#clock = clock;
    this.#log = log;
  }

  /** Writes it when it is missing or says something else, and looks again from time to time. */
  open(): void {
    void this.#check();
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  async #check(): Promise<void> {
    let nextMs = CHECK_MS;
    try {
      await this.#ensure();
    } catch (error) {
      this.counters.failures += 1;
      nextMs = RETRY_MS;
      this.#log.warn('root certificate not published: agents cannot join', { error: errorText(error) });
    }
    if (!this.#closed) this.#cancel = this.#clock.setTimer(nextMs, () => void this.#check());
  }

  async #ensure(): Promise<void> {
    const path = `/api/v1/namespaces/${this.#namespace}/configmaps`;
    const found = await this.#client.get(`${path}/${NAME}`).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    });
    const { data } = (found ?? {}) as { data?: Readonly<Record<string, unknown>> };
    if (data?.[FIELD] === this.#rootsPem) return;
    const map = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: NAME, namespace: this.#namespace, labels: { 'app.kubernetes.io/part-of': 'groundwire' } },
      data: { [FIELD]: this.#rootsPem },
    };
    await (found === undefined
      ? this.#client.send('POST', path, map)
      : this.#client.send('PUT', `${path}/${NAME}`, map));
    this.counters.written += 1;
  }
}
