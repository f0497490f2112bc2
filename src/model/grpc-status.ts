// SPDX-License-Identifier: Apache-2.0

import { explainTransportFailure } from './transport-failure.ts';

/** Names of the gRPC status codes, by number (grpc/doc/statuscodes.md). */
const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type GrpcStatusName = (typeof NAMES)[number];

// What is behind these is mostly no answer of a server; the code says nothing that the words do not.
const MADE_BY_CLIENT: ReadonlySet<GrpcStatusName> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);

/** A call or stream that ended badly. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: GrpcStatusName;
  /** What went wrong, without the code. */
  readonly detail: string;

  constructor(code: GrpcStatusName, detail: string, options?: { cause?: unknown }) {
    const isOwn = MADE_BY_CLIENT.has(code);
    super(detail === '' ? code : isOwn ? detail : `${code}: ${detail}`, options);
    this.code = code;
    this.detail = detail === '' ? code : detail;
  }
}

/** The one place where what gRPC throws becomes an error of ours. */
export function fromGrpcStatus(thrown: unknown): StreamError {
  if (thrown instanceof StreamError) return thrown;
  const { code, details } = readStatus(thrown);
  const name = NAMES[code] ?? 'UNKNOWN';
  const words = MADE_BY_CLIENT.has(name) ? explainTransportFailure(details) : details;
  return new StreamError(name, words, { cause: thrown });
}

function readStatus(thrown: unknown): { code: number; details: string } {
  if (typeof thrown !== 'object' || thrown === null) return { code: 2, details: String(thrown) };
  const code = 'code' in thrown && typeof thrown.code === 'number' ? thrown.code : 2;
  if ('details' in thrown && typeof thrown.details === 'string') return { code, details: thrown.details };
  return { code, details: thrown instanceof Error ? thrown.message : '' };
}
