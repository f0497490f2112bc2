// SPDX-License-Identifier: Apache-2.0

import { credentials, Metadata } from '@grpc/grpc-js';
import { fromGrpcStatus } from '../model/grpc-status.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import { IstioCertificateRequest, IstioCertificateServiceClient } from './gen/istio/citadel.ts';

const DEADLINE_MS = 10_000;

export interface SigningClientOptions {
  /** HOST:PORT. */
  readonly address: string;
  /** Re-read for each call, so that a new file is used without a restart. */
  readonly readRootsPem: () => string;
  readonly readToken: () => string;
  readonly clusterId: string;
}

/** Asks an authority that serves the signing API for certificates. One connection, made anew when the roots change. */
export class SigningClient {
  readonly #options: SigningClientOptions;
  #open: { readonly rootsPem: string; readonly client: IstioCertificateServiceClient } | undefined;

  constructor(options: SigningClientOptions) {
    this.#options = options;
  }

  /** The answer's PEM parts: leaf, intermediates, trust roots. Rejects with `StreamError`. */
  async sign(identity: SpiffeId, csrPem: string, lifetimeSeconds: number): Promise<readonly string[]> {
    const request = IstioCertificateRequest.fromPartial({
      csr: csrPem,
      validityDuration: BigInt(Math.round(lifetimeSeconds)),
      metadata: { ImpersonatedIdentity: formatSpiffeId(identity) },
    });
    try {
      const metadata = new Metadata();
      metadata.set('authorization', `Bearer ${this.#options.readToken()}`);
      metadata.set('clusterid', this.#options.clusterId);
      const client = this.#client();
      return await new Promise((resolve, reject) => {
        client.createCertificate(request, metadata, { deadline: Date.now() + DEADLINE_MS }, (error, response) =>
          error === null ? resolve(response.certChain) : reject(error),
        );
      });
    } catch (error) {
      throw fromGrpcStatus(error);
    }
  }

  close(): void {
    this.#open?.client.close();
    this.#open = undefined;
  }

  #client(): IstioCertificateServiceClient {
    const rootsPem = this.#options.readRootsPem();
    if (this.#open?.rootsPem === rootsPem) return this.#open.client;
    this.close();
    const channel = credentials.createSsl(Buffer.from(rootsPem));
    const client = new IstioCertificateServiceClient(this.#options.address, channel, {
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      // The manager has its own delays; the channel must not add longer ones.
      'grpc.max_reconnect_backoff_ms': 2_000,
    });
    this.#open = { rootsPem, client };
    return client;
  }
}
