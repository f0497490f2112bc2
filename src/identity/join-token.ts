// SPDX-License-Identifier: Apache-2.0

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import { fileExists } from '../config/paths.ts';
import type { Caller, TokenLife } from '../model/caller.ts';
import type { Clock } from '../model/clock.ts';
import { splitPem } from './pem.ts';
import { readOrCreateSecret, SecretFileError } from './secret-file.ts';

/** What the signing API of every mesh expects as audience. */
const TOKEN_AUDIENCE = 'istio-ca';
const TOKEN_BYTES_MAX = 8192;
const KEY_BYTES = 32;

/** What a token says beside its audience; times in seconds. */
interface TokenClaims {
  readonly node: string;
  readonly iat: number;
  readonly exp: number;
  readonly line_iat?: number;
  readonly line_exp?: number;
}

export interface TokenRejected {
  readonly kind: 'rejected';
  /** For the caller to read; names no secret. */
  readonly reason: string;
}

/** What `groundwire control token` writes and `groundwire agent --token-file` reads. */
export interface JoinFile {
  readonly rootsPem: string | undefined;
  readonly token: string;
}

/** Makes and checks join tokens: JWTs (HS256) with a key that only the control plane has. */
export class JoinTokens {
  readonly #key: Buffer;
  readonly #clock: Clock;

  private constructor(key: Buffer, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  /** Reads `token.key` (0600) of the state directory, or makes it. Throws `SecretFileError`. */
  static open(stateDir: string, clock: Clock): JoinTokens {
    const path = join(stateDir, 'token.key');
    const text = readOrCreateSecret(path, () => `${randomBytes(KEY_BYTES).toString('base64url')}\n`);
    const key = Buffer.from(text.trim(), 'base64url');
    if (key.length !== KEY_BYTES) {
      throw new SecretFileError(
        `${path} is damaged: restore it from a backup, or remove it and make a new token for every node`,
      );
    }
    return new JoinTokens(key, clock);
  }

  /** Whether this state directory has a key for tokens. */
  static isMade(stateDir: string): boolean {
    return fileExists(join(stateDir, 'token.key'));
  }

  /** The first token of a line. */
  make(node: string, lifetimeMs: number): string {
    const iat = Math.floor(this.#clock.nowMs() / 1000);
    return this.#seal({ node, iat, exp: iat + Math.ceil(lifetimeMs / 1000) });
  }

  /** The one after `last`, for as long, but not beyond the end of their line; nothing when that is where `last` ends. */
  renew(node: string, last: TokenLife, lineMaxMs: number): { token: string; life: TokenLife } | undefined {
    const iat = Math.floor(this.#clock.nowMs() / 1000);
    const lineExp = Math.floor((last.lineFromMs + lineMaxMs) / 1000);
    if (last.untilMs >= lineExp * 1000) return undefined;
    const exp = Math.min(iat + Math.ceil((last.untilMs - last.fromMs) / 1000), lineExp);
    const lineIat = Math.floor(last.lineFromMs / 1000);
    return {
      token: this.#seal({ node, iat, exp, line_iat: lineIat, line_exp: lineExp }),
      life: { fromMs: iat * 1000, untilMs: exp * 1000, lineFromMs: lineIat * 1000, lineUntilMs: lineExp * 1000 },
    };
  }

  #seal(claims: TokenClaims): string {
    const body = `${encodeJson({ alg: 'HS256', typ: 'JWT' })}.${encodeJson({ aud: [TOKEN_AUDIENCE], ...claims })}`;
    return `${body}.${this.#sign(body).toString('base64url')}`;
  }

  /** The caller that holds this token, or why it is not accepted. Says nothing about claims before the signature holds. */
  verify(token: string): Caller | TokenRejected {
    const [header, claims, signature, ...rest] = token.split('.');
    if (
      token.length > TOKEN_BYTES_MAX ||
      header === undefined ||
      claims === undefined ||
      signature === undefined ||
      rest.length > 0
    ) {
      return rejected('not a join token; make one with `groundwire control token --node NAME`');
    }
    const given = Buffer.from(signature, 'base64url');
    const expected = this.#sign(`${header}.${claims}`);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      return rejected('the token was not made by this control plane');
    }
    const { aud, node } = decodeJson(claims);
    const life = readTokenLife(token);
    if (!Array.isArray(aud) || !aud.includes(TOKEN_AUDIENCE)) return rejected(`the token is not for ${TOKEN_AUDIENCE}`);
    if (life === undefined || life.untilMs <= this.#clock.nowMs()) {
      return rejected('the token has expired; make a new one with `groundwire control token --node NAME`');
    }
    if (typeof node !== 'string' || node === '') return rejected('the token names no node');
    return { node, token: life };
  }

  // The algorithm is fixed, whatever the header says.
  #sign(body: string): Buffer {
    return createHmac('sha256', this.#key).update(body).digest();
  }
}

/** The content of a join file: trust roots, and one line with the token. */
export function formatJoinFile(rootsPem: string, token: string): string {
  return `${rootsPem.trim()}\n${token}\n`;
}

/**
 * Reads a join file. A plain token, as Kubernetes projects it, has no roots: `--root-cert` gives them then.
 *
 * Throws an `Error` that says what is wrong with the file, never what is in it.
 */
export function parseJoinFile(text: string): JoinFile {
  const pems = splitPem(text);
  const rest = text
    .replaceAll(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const [token] = rest;
  if (token === undefined) throw new Error('it has no token line');
  if (rest.length > 1 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
    throw new Error('it is damaged: after the certificates there must be one line with the token and nothing else');
  }
  return { rootsPem: pems.length === 0 ? undefined : pems.join(''), token };
}

/** What a token says of its own life; nothing when it says nothing, which is for its issuer to know. */
export function readTokenLife(token: string): TokenLife | undefined {
  const claims = decodeJson(token.split('.')[1] ?? '');
  const atMs = (name: keyof TokenClaims): number | undefined => {
    const seconds = claims[name];
    return typeof seconds === 'number' ? seconds * 1000 : undefined;
  };
  const fromMs = atMs('iat');
  const untilMs = atMs('exp');
  if (fromMs === undefined || untilMs === undefined) return undefined;
  return { fromMs, untilMs, lineFromMs: atMs('line_iat') ?? fromMs, lineUntilMs: atMs('line_exp') };
}

function rejected(reason: string): TokenRejected {
  return { kind: 'rejected', reason };
}

function encodeJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decodeJson(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
