// SPDX-License-Identifier: Apache-2.0

import type { ChannelCredentials, ClientOptions, Metadata } from '@grpc/grpc-js';
import type { Clock } from '../model/clock.ts';
import { fromGrpcStatus } from '../model/grpc-status.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import { IstioCertificateRequest, IstioCertificateServiceClient } from '../wire/istio/citadel.ts';

const DEADLINE_MS = 10_000;

/** Where the authority is and how an agent proves itself to it; a `ControlPlane` of discovery is one. */
export interface SigningEndpoint {
  dial(): {
    readonly address: string;
    readonly rootsPem: string;
    readonly credentials: ChannelCredentials;
    readonly options: ClientOptions;
  };
  callMetadata(): Metadata;
}

/** Asks an authority that serves the signing API for certificates. One connection, made anew when the roots change. */
export class SigningClient {
  readonly #endpoint: SigningEndpoint;
  readonly #clock: Clock;
  #open: { readonly rootsPem: string; readonly client: IstioCertificateServiceClient } | undefined;

  constructor(endpoint: SigningEndpoint, clock: Clock) {
    this.#endpoint = endpoint;
    this.#clock = clock;
  }

  /** The answer's PEM parts: leaf, intermediates, trust roots. Rejects with `StreamError`. */
  async sign(identity: SpiffeId, csrPem: string, lifetimeSeconds: number): Promise<readonly string[]> {
    const request = IstioCertificateRequest.fromPartial({
      csr: csrPem,
      validityDuration: BigInt(Math.round(lifetimeSeconds)),
      metadata: { ImpersonatedIdentity: formatSpiffeId(identity) },
    });
    try {
      const metadata = this.#endpoint.callMetadata();
      const client = this.#client();
      return await new Promise((resolve, reject) => {
        client.createCertificate(
          request,
          metadata,
          { deadline: this.#clock.nowMs() + DEADLINE_MS },
          (error, response) => (error === null ? resolve(response.certChain) : reject(error)),
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
    const { address, rootsPem, credentials, options } = this.#endpoint.dial();
    if (this.#open?.rootsPem === rootsPem) return this.#open.client;
    this.close();
    const client = new IstioCertificateServiceClient(address, credentials, options);
    this.#open = { rootsPem, client };
    return client;
  }
}
