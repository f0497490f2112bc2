// SPDX-License-Identifier: Apache-2.0

import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { type ChannelCredentials, type ClientOptions, credentials, Metadata } from '@grpc/grpc-js';
import { quietGrpc } from './quiet-grpc.ts';

/** A name for the handshake where only an address is known; the certificate is checked against the address. */
const SNI_OF_ADDRESS = 'control.groundwire';

export interface ControlPlaneOptions {
  /** HOST:PORT, [V6]:PORT. */
  readonly address: string;
  /** Name in the server's certificate when it is not HOST. */
  readonly serverName?: string;
  /** Both are read again at each use, so that a new file needs no restart. */
  readonly readRootsPem: () => string;
  readonly readToken: () => string;
  readonly clusterId: string;
}

/** What a gRPC client is opened with. */
export interface Dial {
  readonly address: string;
  readonly rootsPem: string;
  readonly credentials: ChannelCredentials;
  readonly options: ClientOptions;
}

/** Where the control plane is, how it is recognised and how an agent proves itself: the same for every client of it. */
export class ControlPlane {
  readonly #options: ControlPlaneOptions;

  constructor(options: ControlPlaneOptions) {
    quietGrpc();
    this.#options = options;
  }

  dial(): Dial {
    const { address, serverName, readRootsPem } = this.#options;
    const rootsPem = readRootsPem();
    const host = serverName ?? hostOf(address);
    // TLS does not let an address be the server's name, so another is sent, and the check is ours.
    const byAddress = isIP(host) !== 0;
    const verify = byAddress
      ? {
          checkServerIdentity: (_: string, cert: Parameters<typeof checkServerIdentity>[1]) =>
            checkServerIdentity(host, cert),
        }
      : {};
    return {
      address,
      rootsPem,
      credentials: credentials.createSsl(Buffer.from(rootsPem), null, null, verify),
      options: {
        'grpc.keepalive_time_ms': 30_000,
        'grpc.keepalive_timeout_ms': 10_000,
        'grpc.keepalive_permit_without_calls': 1,
        // A shared connection would bring along the delays of one that failed.
        'grpc.use_local_subchannel_pool': 1,
        'grpc.max_reconnect_backoff_ms': 2_000,
        'grpc.ssl_target_name_override': byAddress ? SNI_OF_ADDRESS : host,
        'grpc.default_authority': byAddress ? SNI_OF_ADDRESS : host,
      },
    };
  }

  /** Headers of each call; istiod reads the same ones. */
  callMetadata(): Metadata {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.#options.readToken()}`);
    metadata.set('clusterid', this.#options.clusterId);
    return metadata;
  }
}

function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(':'));
  return host.startsWith('[') ? host.slice(1, -1) : host;
}
