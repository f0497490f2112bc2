// SPDX-License-Identifier: Apache-2.0

import type { EnginePort } from '../engine/port.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { Log } from '../model/log.ts';

/** A certificate as the engine wants it. */
export interface IssuedCertificate {
  readonly identity: SpiffeId;
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  readonly trustRootsPem: string;
  readonly notAfterMs: number;
}

/** Fetches and renews certificates for as long as they are wanted. */
export interface CertificateSource {
  /** Starts fetching and keeps it renewed. */
  want(identity: SpiffeId): void;
  forget(identity: SpiffeId): void;
}

/**
 * Which identities have a pod here, and their certificates in the engine.
 *
 * An identity is fetched with its first pod and removed with its last; `loaded` resolves once the engine holds a
 * certificate of it, so that a pod is never captured before it can speak for itself.
 */
export class PodIdentities {
  readonly #source: CertificateSource;
  readonly #engine: Pick<EnginePort, 'apply'>;
  readonly #log: Log;
  readonly #held = new Map<string, { readonly identity: SpiffeId; readonly pods: Set<string> }>();
  readonly #loaded = new Set<string>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(source: CertificateSource, engine: Pick<EnginePort, 'apply'>, log: Log) {
    this.#source = source;
    this.#engine = engine;
    this.#log = log;
  }

  hold(identity: SpiffeId, podUid: string): void {
    const key = formatSpiffeId(identity);
    const held = this.#held.get(key);
    if (held !== undefined) held.pods.add(podUid);
    else {
      this.#held.set(key, { identity, pods: new Set([podUid]) });
      this.#source.want(identity);
    }
  }

  /** Resolves when the engine has a certificate of the identity; rejects when the signal says to wait no longer. */
  async loaded(identity: SpiffeId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const key = formatSpiffeId(identity);
    if (this.#loaded.has(key)) return;
    const waiters = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiters);
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        waiters.delete(onLoaded);
        reject(signal.reason as Error);
      };
      const onLoaded = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      waiters.add(onLoaded);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** A pod of the identity is gone; with the last one go its tunnels. */
  async drop(identity: SpiffeId, podUid: string): Promise<void> {
    const key = formatSpiffeId(identity);
    const held = this.#held.get(key);
    held?.pods.delete(podUid);
    if (held === undefined || held.pods.size > 0) return;
    this.#held.delete(key);
    this.#source.forget(identity);
    if (this.#loaded.delete(key)) await this.#engine.apply([{ kind: 'RemoveIdentity', identity: key }]);
  }

  /** A certificate came, the first or a renewed one: the engine uses it for every new tunnel from now on. */
  async onCertificate(certificate: IssuedCertificate): Promise<void> {
    const key = formatSpiffeId(certificate.identity);
    if (!this.#held.has(key)) return;
    try {
      await this.#engine.apply([
        {
          kind: 'SetIdentity',
          identity: key,
          certificateChainPem: Buffer.from(certificate.certificateChainPem),
          privateKeyPem: Buffer.from(certificate.privateKeyPem),
          trustRootsPem: Buffer.from(certificate.trustRootsPem),
          notAfterMs: BigInt(certificate.notAfterMs),
        },
      ]);
    } catch (error) {
      this.#log.error('certificate not taken by the engine', { identity: key, error: String(error) });
      return;
    }
    this.#loaded.add(key);
    for (const resume of this.#waiting.get(key) ?? []) resume();
    this.#waiting.delete(key);
  }
}
