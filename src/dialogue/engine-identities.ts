// SPDX-License-Identifier: Apache-2.0

import type { EnginePort } from '../engine/port.ts';
import type { IdentitySink } from '../identity/certificate-manager.ts';
import type { IdentityCertificate } from '../identity/identity-certificate.ts';
import { Backoff } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { Log } from '../model/log.ts';

// A renewal may be half a day away; the engine's trouble is seldom as long.
const RETRY = { initialMs: 500, maxMs: 30_000, jitter: 0.2 };

/** A certificate on its way to the engine, or there. */
interface Handing {
  readonly certificate: IdentityCertificate;
  readonly backoff: Backoff;
  failures: number;
  cancelRetry: Cancel;
}

/**
 * Hands certificates to the engine and knows which it has, so that a pod is never captured before it can speak for itself.
 *
 * Commands go out in the order in which they came: a certificate and its removal cannot overtake each other. What the
 * engine does not take it is given again, with a growing pause, until a newer certificate or a removal takes its place.
 */
export class EngineIdentities implements IdentitySink {
  readonly counters = { taken: 0, refused: 0 };
  readonly #engine: Pick<EnginePort, 'apply'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #loaded = new Set<string>();
  // The newest certificate sent for each identity: news of an older one, or of one removed since, means nothing.
  readonly #newest = new Map<string, Handing>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(engine: Pick<EnginePort, 'apply'>, clock: Clock, log: Log) {
    this.#engine = engine;
    this.#clock = clock;
    this.#log = log;
  }

  set(certificate: IdentityCertificate): void {
    const identity = formatSpiffeId(certificate.identity);
    this.#forget(identity);
    const handing: Handing = { certificate, backoff: new Backoff(RETRY), failures: 0, cancelRetry: () => {} };
    this.#newest.set(identity, handing);
    this.#hand(identity, handing);
  }

  /** Gives nothing to the engine any more; what it has stays with it. */
  close(): void {
    for (const identity of this.#newest.keys()) this.#forget(identity);
  }

  #hand(identity: string, handing: Handing): void {
    const { chain, privateKeyPem, rootsPem, notAfterMs } = handing.certificate;
    const applied = this.#engine.apply([
      {
        kind: 'SetIdentity',
        identity,
        certificateChainPem: Buffer.from(chain.join('')),
        privateKeyPem: Buffer.from(privateKeyPem),
        trustRootsPem: Buffer.from(rootsPem),
        notAfterMs: BigInt(notAfterMs),
      },
    ]);
    applied.then(
      () => this.#onTaken(identity, handing),
      (error: unknown) => this.#onRefused(identity, handing, error),
    );
  }

  #onTaken(identity: string, handing: Handing): void {
    this.counters.taken += 1;
    if (this.#newest.get(identity) !== handing) return;
    if (handing.failures > 0) this.#log.info('certificate taken by the engine after all', { identity });
    this.#loaded.add(identity);
    for (const resume of this.#waiting.get(identity) ?? []) resume();
    this.#waiting.delete(identity);
  }

  #onRefused(identity: string, handing: Handing, error: unknown): void {
    this.counters.refused += 1;
    handing.failures += 1;
    if (this.#newest.get(identity) !== handing) return;
    const retryMs = Math.round(handing.backoff.next());
    const { failures } = handing;
    this.#log.error('certificate not taken by the engine', {
      identity,
      error: String(error),
      failures,
      retry_ms: retryMs,
    });
    handing.cancelRetry = this.#clock.setTimer(retryMs, () => this.#hand(identity, handing));
  }

  #forget(identity: string): void {
    this.#newest.get(identity)?.cancelRetry();
    this.#newest.delete(identity);
  }

  remove(identity: SpiffeId): void {
    const name = formatSpiffeId(identity);
    this.#loaded.delete(name);
    this.#forget(name);
    this.#engine.apply([{ kind: 'RemoveIdentity', identity: name }]).catch((error: unknown) => {
      this.#log.warn('identity not removed from the engine', { identity: name, error: String(error) });
    });
  }

  /** The engine knows each certificate's end and uses none beyond it; here only new pods must wait again. */
  expired(identity: SpiffeId): void {
    const name = formatSpiffeId(identity);
    this.#loaded.delete(name);
    this.#forget(name);
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
