// SPDX-License-Identifier: Apache-2.0

import { type Metadata, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import type { Caller } from '../model/caller.ts';
import type { Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import { formatSpiffeId, parseSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { Log } from '../model/log.ts';
import {
  type IstioCertificateRequest,
  IstioCertificateResponse,
  type IstioCertificateServiceServer,
  IstioCertificateServiceService,
} from '../wire/istio/citadel.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import * as x509 from './x509.ts';

const CSR_BYTES_MAX = 16_384;
const RATE_WINDOW_MS = 60_000;
const RSA_BITS_MIN = 2048;

export interface SigningServerOptions {
  readonly authority: CertificateAuthority;
  /** The authenticated holder of the call; `undefined` refuses. */
  readonly callerOf: (metadata: Metadata) => Caller | undefined;
  /** Whether a pod with this identity runs on the node. */
  readonly hasPod: (node: string, identity: SpiffeId) => boolean;
  /** Used when the request names no duration. Default in the product 24 h. */
  readonly lifetimeMs: number;
  /** No certificate lives longer, whatever is asked for. */
  readonly lifetimeMaxMs: number;
  /** Requests a node may make in a minute. */
  readonly requestsPerMinute: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SigningCounters {
  signed: number;
  refused: number;
  rateLimited: number;
  failed: number;
}

/** An expected "no" to one request. */
class Refused extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** Serves the signing API: certificates for identities of pods on the caller's own node, and for nothing else. */
export class SigningServer {
  readonly definition = IstioCertificateServiceService;
  readonly implementation: IstioCertificateServiceServer;
  readonly counters: SigningCounters = { signed: 0, refused: 0, rateLimited: 0, failed: 0 };
  readonly #options: SigningServerOptions;
  /** Requests of each node in the running window. */
  readonly #recent = new Map<string, number>();
  #windowEndsMs = 0;

  constructor(options: SigningServerOptions) {
    this.#options = options;
    this.implementation = {
      createCertificate: (call, callback) => {
        void this.#answer(call, callback);
      },
    };
  }

  async #answer(
    call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
    callback: sendUnaryData<IstioCertificateResponse>,
  ): Promise<void> {
    const { log } = this.#options;
    const caller = this.#options.callerOf(call.metadata);
    const asked = readImpersonated(call.request);
    const fields = { node: caller?.node ?? '', identity: asked };
    try {
      const certChain = await this.#sign(call.request, caller, asked);
      this.counters.signed += 1;
      log.info('certificate signed', fields);
      callback(null, IstioCertificateResponse.fromPartial({ certChain }));
    } catch (error) {
      if (error instanceof Refused) {
        if (error.code === status.RESOURCE_EXHAUSTED) this.counters.rateLimited += 1;
        else this.counters.refused += 1;
        log.warn('certificate refused', { ...fields, reason: error.message });
        callback({ code: error.code, details: error.message });
        return;
      }
      this.counters.failed += 1;
      log.error('certificate could not be signed', { ...fields, reason: String(error) });
      callback({
        code: status.INTERNAL,
        details: 'the certificate could not be signed; see the log of the control plane',
      });
    }
  }

  async #sign(request: IstioCertificateRequest, caller: Caller | undefined, asked: string): Promise<string[]> {
    const { authority, hasPod } = this.#options;
    if (caller === undefined) throw new Refused(status.UNAUTHENTICATED, 'the call carries no accepted token');
    this.#takeTurn(caller.node);
    if (asked === '') throw new Refused(status.INVALID_ARGUMENT, 'metadata must name ImpersonatedIdentity');
    const identity = parseSpiffeId(asked);
    if (identity === undefined)
      throw new Refused(status.INVALID_ARGUMENT, `not a SPIFFE ID of this mesh's form: ${asked.slice(0, 256)}`);
    if (identity.trustDomain !== authority.trustDomain) {
      throw new Refused(
        status.PERMISSION_DENIED,
        `trust domain ${identity.trustDomain} is not ${authority.trustDomain}`,
      );
    }
    const publicKey = await readPublicKey(request.csr);
    if (!hasPod(caller.node, identity)) {
      throw new Refused(
        status.PERMISSION_DENIED,
        `no pod on node ${caller.node} has the identity ${formatSpiffeId(identity)}`,
      );
    }
    return authority.signWorkload(publicKey, identity, this.#lifetimeMs(request.validityDuration));
  }

  #lifetimeMs(askedSeconds: bigint): number {
    const { lifetimeMs, lifetimeMaxMs } = this.#options;
    // 0 asks for the default; what is asked for can only shorten it, so that one setting decides for the mesh.
    const askedMs = askedSeconds > 0n ? Number(askedSeconds) * 1000 : lifetimeMs;
    return Math.min(askedMs, lifetimeMs, lifetimeMaxMs);
  }

  #takeTurn(node: string): void {
    const { clock, requestsPerMinute } = this.#options;
    const nowMs = clock.nowMs();
    if (nowMs >= this.#windowEndsMs) {
      this.#recent.clear();
      this.#windowEndsMs = nowMs + RATE_WINDOW_MS;
    }
    const count = (this.#recent.get(node) ?? 0) + 1;
    this.#recent.set(node, count);
    if (count > requestsPerMinute) {
      throw new Refused(
        status.RESOURCE_EXHAUSTED,
        `node ${node} asked more than ${requestsPerMinute} times in a minute; try again later`,
      );
    }
  }
}

function readImpersonated(request: IstioCertificateRequest): string {
  const value: unknown = request.metadata?.['ImpersonatedIdentity'];
  return typeof value === 'string' ? value : '';
}

// The key is all that is taken from the request: subject and extensions are the authority's to decide.
async function readPublicKey(csrPem: string): Promise<x509.PublicKey> {
  if (csrPem.length > CSR_BYTES_MAX)
    throw new Refused(status.INVALID_ARGUMENT, `the request is larger than ${CSR_BYTES_MAX} bytes`);
  let request: x509.Pkcs10CertificateRequest;
  let holds: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
    holds = await request.verify();
  } catch (error) {
    throw new Refused(status.INVALID_ARGUMENT, `not a certificate request: ${errorText(error)}`);
  }
  if (!holds) throw new Refused(status.INVALID_ARGUMENT, 'the signature of the request is not by its own key');
  const { algorithm } = request.publicKey;
  const curve = 'namedCurve' in algorithm ? algorithm.namedCurve : undefined;
  const bits = 'modulusLength' in algorithm ? Number(algorithm.modulusLength) : 0;
  if (curve === 'P-256' || curve === 'P-384' || bits >= RSA_BITS_MIN) return request.publicKey;
  throw new Refused(status.INVALID_ARGUMENT, 'the key must be EC P-256, EC P-384 or RSA of 2048 bits or more');
}
