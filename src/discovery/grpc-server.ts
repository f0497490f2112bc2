// SPDX-License-Identifier: Apache-2.0

import { constants } from 'node:os';
import {
  experimental,
  Server,
  type ServerInterceptor,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { listenUse, SettingError } from '../config/setting-error.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import type { Log } from '../model/log.ts';
import { quietGrpc } from './quiet-grpc.ts';

const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;
const RENEWAL_RETRY_MS = 10_000;

/** A service and what answers it. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcServerCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly notAfterMs: number;
}

export interface GrpcServerOptions {
  /** HOST:PORT, as `--listen` says it; port 0 takes a free one. */
  readonly address: string;
  readonly services: readonly GrpcService[];
  readonly interceptors: readonly ServerInterceptor[];
  readonly issueCertificate: () => Promise<GrpcServerCertificate>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The control plane's one TLS server: every service on one port, with a certificate that renews itself. */
export class GrpcServer {
  readonly port: number;
  readonly #server: Server;
  readonly #certificates: CertificateFeed;

  private constructor(server: Server, certificates: CertificateFeed, port: number) {
    this.#server = server;
    this.#certificates = certificates;
    this.port = port;
  }

  /** Listens; rejects with a `SettingError` when the address cannot be had. */
  static async open(options: GrpcServerOptions): Promise<GrpcServer> {
    quietGrpc();
    const certificates = await CertificateFeed.open(options);
    const server = new Server({
      interceptors: [...options.interceptors],
      'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
    });
    for (const { definition, implementation } of options.services) server.addService(definition, implementation);
    const credentials = experimental.createCertificateProviderServerCredentials(certificates, null, false);
    try {
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(options.address, credentials, (error, bound) =>
          error === null ? resolve(bound) : reject(error),
        );
      });
      return new GrpcServer(server, certificates, port);
    } catch (cause) {
      certificates.close();
      throw new SettingError(listenUse('listen', options.address), asSystemError(cause));
    }
  }

  /** Ends every stream at once: agents keep what they have and come back. */
  close(): void {
    this.#certificates.close();
    this.#server.forceShutdown();
  }
}

/** The system's error again: grpc-js hands on its words only, among its own. */
function asSystemError(cause: unknown): unknown {
  const message = errorText(cause);
  const code = /\bE[A-Z]{3,}\b/.exec(message)?.[0] ?? '';
  const errno = (constants.errno as Readonly<Record<string, number>>)[code];
  if (errno === undefined) return new Error(message.replace(/^.* errors: \[(.*)\]$/s, '$1'), { cause });
  return Object.assign(new Error(message, { cause }), { code, errno: -errno });
}

type Listener = Parameters<experimental.CertificateProvider['addIdentityCertificateListener']>[0];

/** Gives grpc-js the certificate and each later one; connections that are open keep theirs. */
class CertificateFeed implements experimental.CertificateProvider {
  readonly #options: Pick<GrpcServerOptions, 'issueCertificate' | 'clock' | 'log'>;
  readonly #listeners = new Set<Listener>();
  #current: GrpcServerCertificate;
  #cancel: Cancel;
  #closed = false;

  private constructor(options: GrpcServerOptions, first: GrpcServerCertificate) {
    this.#options = options;
    this.#current = first;
    this.#cancel = this.#schedule();
  }

  static async open(options: GrpcServerOptions): Promise<CertificateFeed> {
    return new CertificateFeed(options, await options.issueCertificate());
  }

  addIdentityCertificateListener(listener: Listener): void {
    this.#listeners.add(listener);
    // Later, because grpc-js forwards nothing before this call has returned.
    queueMicrotask(() => listener(this.#update()));
  }

  removeIdentityCertificateListener(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /** Clients prove themselves by token, not by certificate, so there are no roots to give. */
  addCaCertificateListener(): void {}
  removeCaCertificateListener(): void {}

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #update() {
    return {
      certificate: Buffer.from(this.#current.certificatePem),
      privateKey: Buffer.from(this.#current.privateKeyPem),
    };
  }

  #schedule(): Cancel {
    const { clock } = this.#options;
    return clock.setTimer((this.#current.notAfterMs - clock.nowMs()) / 2, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { issueCertificate, clock, log } = this.#options;
    try {
      const next = await issueCertificate();
      if (this.#closed) return;
      this.#current = next;
      this.#cancel = this.#schedule();
      for (const listener of this.#listeners) listener(this.#update());
      log.info('server certificate renewed');
    } catch (error) {
      if (this.#closed) return;
      log.error('server certificate not renewed', { reason: String(error) });
      this.#cancel = clock.setTimer(RENEWAL_RETRY_MS, () => void this.#renew());
    }
  }
}
