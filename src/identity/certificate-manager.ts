// SPDX-License-Identifier: Apache-2.0

// One identity's life:
//
//   Initializing ──signed──> Available ──half-life──> Renewing ──signed──> Available
//        │                                               │ failed: stays, tries again, uses the old one
//        └─failed──> Unavailable ──backoff──> (asks) <───expired──┘
//
// Every change of state goes through `#setState`; a state owns its timers, and they end with it.

import { X509Certificate } from 'node:crypto';
import { Backoff, varyBy } from '../model/backoff.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { Log } from '../model/log.ts';
import { QuietLogs } from '../model/quiet-logs.ts';
import { createCertificateRequest } from './certificate-request.ts';
import { checkIssued, type IdentityCertificate } from './identity-certificate.ts';

const CONCURRENT_MAX = 8;
const RENEWAL_JITTER = 0.05;
const RETRY = { initialMs: 500, maxMs: 150_000, jitter: 0.2 };

/** Where certificates go; `set` and `remove` are the engine's SetIdentity and RemoveIdentity. */
export interface IdentitySink {
  set(certificate: IdentityCertificate): void;
  remove(identity: SpiffeId): void;
  /** The certificate ran out and no new one came. */
  expired(identity: SpiffeId): void;
}

export interface CertificateManagerOptions {
  readonly sign: (identity: SpiffeId, csrPem: string, lifetimeSeconds: number) => Promise<readonly string[]>;
  readonly sink: IdentitySink;
  readonly clock: Clock;
  readonly log: Log;
  /** Asked for; the authority may give less. */
  readonly lifetimeSeconds: number;
  readonly random?: () => number;
}

/** As `/config_dump` shows it; never a key. */
export interface CertificateStatus {
  readonly identity: string;
  readonly state: 'Initializing' | 'Available' | 'Unavailable';
  /** Why it is not Available, or why the last renewal failed. */
  readonly error?: string;
  readonly certChain: readonly CertificateFacts[];
  readonly rootCerts: readonly CertificateFacts[];
}

/** Times RFC 3339, the serial number decimal. */
export interface CertificateFacts {
  /** PEM in base64. */
  readonly pem: string;
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

export interface CertificateCounters {
  signed: number;
  failed: number;
  expired: number;
}

type State =
  | { readonly kind: 'initializing'; readonly cancel: Cancel }
  | { readonly kind: 'available'; readonly certificate: IdentityCertificate; readonly cancel: Cancel }
  | {
      readonly kind: 'renewing';
      readonly certificate: IdentityCertificate;
      readonly error?: string;
      readonly cancel: Cancel;
    }
  | { readonly kind: 'unavailable'; readonly error: string; readonly cancel: Cancel };

interface Entry {
  readonly identity: SpiffeId;
  readonly pods: Set<string>;
  readonly backoff: Backoff;
  state: State;
}

/** Keeps a valid certificate for each identity that has a pod on this node, and forgets it with its last pod. */
export class CertificateManager {
  readonly counters: CertificateCounters = { signed: 0, failed: 0, expired: 0 };
  readonly #options: CertificateManagerOptions;
  readonly #entries = new Map<string, Entry>();
  /** Identities that wait for their turn: those without a certificate come first. */
  readonly #urgent = new Set<Entry>();
  readonly #renewals = new Set<Entry>();
  readonly #asking = new Set<Entry>();
  /** What keeps one certificate back keeps all of them back, as a rule: each reason is told once and then counted. */
  readonly #failures: QuietLogs;

  constructor(options: CertificateManagerOptions) {
    this.#options = options;
    this.#failures = new QuietLogs(options.clock);
  }

  /** A pod with this identity is here; asks for a certificate when it is the first. */
  require(identity: SpiffeId, podUid: string): void {
    const key = formatSpiffeId(identity);
    const present = this.#entries.get(key);
    if (present !== undefined) {
      present.pods.add(podUid);
      return;
    }
    const backoff = new Backoff(RETRY, this.#options.random);
    const entry: Entry = {
      identity,
      pods: new Set([podUid]),
      backoff,
      state: { kind: 'initializing', cancel: nothing },
    };
    this.#entries.set(key, entry);
    this.#enqueue(entry);
  }

  /** A pod with this identity is gone; with the last one the certificate is forgotten. */
  release(identity: SpiffeId, podUid: string): void {
    const key = formatSpiffeId(identity);
    const entry = this.#entries.get(key);
    if (entry === undefined || !entry.pods.delete(podUid) || entry.pods.size > 0) return;
    this.#forget(key, entry);
    this.#options.sink.remove(identity);
  }

  /** Something changed that may let the authority answer: an identity without a certificate asks at once. */
  hurry(identity: SpiffeId): void {
    const entry = this.#entries.get(formatSpiffeId(identity));
    if (entry?.state.kind !== 'unavailable' || this.#asking.has(entry)) return;
    entry.backoff.reset();
    entry.state.cancel();
    this.#enqueue(entry);
  }

  /** Whether pods want certificates and not one of these is there, so that no connection can be made in the mesh. */
  hasNone(): boolean {
    const states = [...this.#entries.values()].map(({ state }) => state.kind);
    return states.length > 0 && states.every((kind) => kind === 'initializing' || kind === 'unavailable');
  }

  status(): CertificateStatus[] {
    return [...this.#entries].map(([identity, { state }]) => describe(identity, state));
  }

  /** Stops every timer; certificates that were handed out stay with the sink. */
  close(): void {
    for (const [key, entry] of this.#entries) this.#forget(key, entry);
  }

  #forget(key: string, entry: Entry): void {
    entry.state.cancel();
    this.#entries.delete(key);
    this.#urgent.delete(entry);
    this.#renewals.delete(entry);
  }

  #isCurrent(entry: Entry): boolean {
    return this.#entries.get(formatSpiffeId(entry.identity)) === entry;
  }

  #setState(entry: Entry, state: State): void {
    entry.state.cancel();
    entry.state = state;
  }

  #enqueue(entry: Entry): void {
    (entry.state.kind === 'renewing' ? this.#renewals : this.#urgent).add(entry);
    this.#pump();
  }

  #pump(): void {
    while (this.#asking.size < CONCURRENT_MAX) {
      const queue = this.#urgent.size > 0 ? this.#urgent : this.#renewals;
      const [entry] = queue;
      if (entry === undefined) return;
      queue.delete(entry);
      this.#asking.add(entry);
      void this.#ask(entry).finally(() => {
        this.#asking.delete(entry);
        this.#pump();
      });
    }
  }

  async #ask(entry: Entry): Promise<void> {
    const { sign, clock, lifetimeSeconds, log } = this.#options;
    const identity = formatSpiffeId(entry.identity);
    try {
      const { csrPem, privateKeyPem } = createCertificateRequest(entry.identity);
      const answer = await sign(entry.identity, csrPem, lifetimeSeconds);
      const certificate = checkIssued(entry.identity, privateKeyPem, answer, clock.nowMs());
      if (!this.#isCurrent(entry)) return;
      this.counters.signed += 1;
      this.#failures.reset();
      this.#accept(entry, certificate);
    } catch (error) {
      if (!this.#isCurrent(entry)) return;
      this.counters.failed += 1;
      const reason = errorText(error);
      this.#failures.say(reason, (unsaid) => log.warn('certificate not obtained', { identity, reason, unsaid }));
      this.#retryLater(entry, reason);
    }
  }

  #accept(entry: Entry, certificate: IdentityCertificate): void {
    const { clock, sink, random } = this.#options;
    entry.backoff.reset();
    // Half of what is left, not of notBefore..notAfter: certificates are backdated, and short ones would be due at once.
    const halfLifeMs = (certificate.notAfterMs - clock.nowMs()) / 2;
    const cancel = clock.setTimer(varyBy(halfLifeMs, RENEWAL_JITTER, random), () => this.#renew(entry, certificate));
    this.#setState(entry, { kind: 'available', certificate, cancel });
    sink.set(certificate);
  }

  #renew(entry: Entry, certificate: IdentityCertificate): void {
    this.#setState(entry, { kind: 'renewing', certificate, cancel: this.#watchExpiry(entry, certificate) });
    this.#enqueue(entry);
  }

  #watchExpiry(entry: Entry, certificate: IdentityCertificate): Cancel {
    const { clock } = this.#options;
    return clock.setTimer(certificate.notAfterMs - clock.nowMs(), () => this.#expire(entry));
  }

  #retryLater(entry: Entry, error: string): void {
    const { clock } = this.#options;
    const cancelRetry = clock.setTimer(entry.backoff.next(), () => this.#enqueue(entry));
    if (entry.state.kind !== 'renewing') {
      this.#setState(entry, { kind: 'unavailable', error, cancel: cancelRetry });
      return;
    }
    const { certificate } = entry.state;
    const cancelExpiry = this.#watchExpiry(entry, certificate);
    const cancel = (): void => {
      cancelRetry();
      cancelExpiry();
    };
    this.#setState(entry, { kind: 'renewing', certificate, error, cancel });
  }

  #expire(entry: Entry): void {
    const { log, sink } = this.#options;
    const last = entry.state.kind === 'renewing' ? entry.state.error : undefined;
    const error = `the certificate expired before it could be renewed${last === undefined ? '' : `: ${last}`}`;
    this.counters.expired += 1;
    log.error('certificate expired', { identity: formatSpiffeId(entry.identity), reason: error });
    this.#setState(entry, { kind: 'unavailable', error, cancel: nothing });
    sink.expired(entry.identity);
    // What waits or is on its way stays; a retry that was only scheduled has just been cancelled.
    this.#renewals.delete(entry);
    if (!this.#asking.has(entry)) this.#enqueue(entry);
  }
}

function nothing(): void {}

const SHOWN = {
  initializing: 'Initializing',
  available: 'Available',
  renewing: 'Available',
  unavailable: 'Unavailable',
} as const;

function describe(identity: string, state: State): CertificateStatus {
  const certificate = state.kind === 'available' || state.kind === 'renewing' ? state.certificate : undefined;
  const error = state.kind === 'renewing' || state.kind === 'unavailable' ? state.error : undefined;
  return {
    identity,
    state: SHOWN[state.kind],
    ...(error !== undefined && { error }),
    certChain: (certificate?.chain ?? []).map(factsOf),
    rootCerts: certificate === undefined ? [] : [factsOf(certificate.rootsPem)],
  };
}

function factsOf(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem);
  return {
    pem: Buffer.from(pem).toString('base64'),
    // Decimal, as ztunnel prints it.
    serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(),
    validFrom: certificate.validFromDate.toISOString(),
    expirationTime: certificate.validToDate.toISOString(),
  };
}
