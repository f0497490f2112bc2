// SPDX-License-Identifier: Apache-2.0

import type { EnginePort } from '../engine/port.ts';
import type { IdentitySink } from '../identity/certificate-manager.ts';
import type { IdentityCertificate } from '../identity/identity-certificate.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { Log } from '../model/log.ts';

/**
 * Hands certificates to the engine and knows which it has, so that a pod is never captured before it can speak for itself.
 *
 * Commands go out in the order in which they came: a certificate and its removal cannot overtake each other.
 */
export class EngineIdentities implements IdentitySink {
  readonly #engine: Pick<EnginePort, 'apply'>;
  readonly #log: Log;
  readonly #loaded = new Set<string>();
  // The newest certificate sent for each identity: news of an older one, or of one removed since, means nothing.
  readonly #newest = new Map<string, IdentityCertificate>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(engine: Pick<EnginePort, 'apply'>, log: Log) {
    this.#engine = engine;
    this.#log = log;
  }

  set(certificate: IdentityCertificate): void {
    const identity = formatSpiffeId(certificate.identity);
    this.#newest.set(identity, certificate);
    const applied = this.#engine.apply([
      {
        kind: 'SetIdentity',
        identity,
        certificateChainPem: Buffer.from(certificate.chain.join('')),
        privateKeyPem: Buffer.from(certificate.privateKeyPem),
        trustRootsPem: Buffer.from(certificate.rootsPem),
        notAfterMs: BigInt(certificate.notAfterMs),
      },
    ]);
    applied.then(
      () => {
        if (this.#newest.get(identity) !== certificate) return;
        this.#loaded.add(identity);
        for (const resume of this.#waiting.get(identity) ?? []) resume();
        this.#waiting.delete(identity);
      },
      (error: unknown) => this.#log.error('certificate not taken by the engine', { identity, error: String(error) }),
    );
  }

  remove(identity: SpiffeId): void {
    const name = formatSpiffeId(identity);
    this.#loaded.delete(name);
    this.#newest.delete(name);
    this.#engine.apply([{ kind: 'RemoveIdentity', identity: name }]).catch((error: unknown) => {
      this.#log.warn('identity not removed from the engine', { identity: name, error: String(error) });
    });
  }

  /** The engine knows each certificate's end and uses none beyond it; here only new pods must wait again. */
  expired(identity: SpiffeId): void {
    const name = formatSpiffeId(identity);
    this.#loaded.delete(name);
    this.#newest.delete(name);
  }

  /** Identities that somebody waits for. */
  get awaited(): number {
    return this.#waiting.size;
  }

  /** Resolves when the engine has a valid certificate of the identity; rejects when the signal says to wait no longer. */
  async loaded(identity: SpiffeId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const key = formatSpiffeId(identity);
    if (this.#loaded.has(key)) return;
    const waiters = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiters);
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        waiters.delete(onLoaded);
        if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key);
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
}
