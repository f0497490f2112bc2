// SPDX-License-Identifier: Apache-2.0

import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { experimental, Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { listenUse, namingAsync } from '../config/setting-error.ts';
import { listen } from '../host/listen.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import type { Authentication } from './authentication.ts';
import type { GrpcConnections } from './grpc-connections.ts';
import { quietGrpc } from './quiet-grpc.ts';

const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;
// An agent has one stream of each service, and signs a certificate on each.
const STREAMS_MAX = 100;
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
  /** As `--listen` says it; port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly services: readonly GrpcService[];
  /** Whose calls pass, and whose connections stay. */
  readonly authentication: Authentication;
  readonly connections: GrpcConnections;
  readonly issueCertificate: () => Promise<GrpcServerCertificate>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The control plane's one TLS server: every service on one port, with a certificate that renews itself. */
export class GrpcServer {
  readonly port: number;
  readonly #server: Server;
  readonly #door: NetServer;
  readonly #connections: GrpcConnections;
  readonly #certificates: CertificateFeed;

  private constructor(server: Server, door: NetServer, connections: GrpcConnections, certificates: CertificateFeed) {
    this.#server = server;
    this.#door = door;
    this.#connections = connections;
    this.#certificates = certificates;
    this.port = (door.address() as AddressInfo).port;
  }

  /** Listens; rejects with a `SettingError` when the address cannot be had. */
  static async open(options: GrpcServerOptions): Promise<GrpcServer> {
    const { authentication, connections, services, listen: where } = options;
    quietGrpc();
    const certificates = await CertificateFeed.open(options);
    const server = new Server({
      interceptors: [authentication.interceptor],
      'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
      'grpc.max_concurrent_streams': STREAMS_MAX,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
    });
    for (const { definition, implementation } of services) server.addService(definition, implementation);
    const credentials = experimental.createCertificateProviderServerCredentials(certificates, null, false);
    const injector = server.createConnectionInjector(credentials);
    authentication.watch(connections);
    // grpc-js asks nobody before it takes a connection, so the connections are ours, and given to it one by one.
    const door = createServer({ noDelay: true }, (socket) => {
      // The end of a connection is told by its streams.
      socket.on('error', () => {});
      if (connections.admit(socket)) injector.injectConnection(socket);
    });
    try {
      const use = listenUse('listen', formatSocketAddress({ address: where.host, port: where.port }));
      await namingAsync(use, () => listen(door, where));
      return new GrpcServer(server, door, connections, certificates);
    } catch (error) {
      certificates.close();
      server.forceShutdown();
      throw error;
    }
  }

  /** Ends every stream at once: agents keep what they have and come back. */
  close(): void {
    this.#certificates.close();
    this.#door.close();
    this.#connections.close();
    this.#server.forceShutdown();
  }
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
