// SPDX-License-Identifier: Apache-2.0

import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { StringDecoder } from 'node:string_decoder';
import type { ApiAccess } from './api-access.ts';
import { ApiError } from './api-error.ts';

/** A change, as a watch tells it. */
export interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

export interface WatchOptions {
  readonly onEvent: (event: WatchEvent) => void;
  /** The watch is given up when not a byte has come for this long. */
  readonly silenceMaxMs: number;
  readonly signal: AbortSignal;
}

export interface SendOptions {
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

// A page of a list of pods is some 3 MiB; what is far larger than any is not read to its end.
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const EVENT_CHARS_MAX = 16 * 1024 * 1024;
const ANSWER_DEADLINE_MS = 60_000;

/**
 * Asks one API server of Kubernetes.
 *
 * Ours, and not the client library of Kubernetes: see docs/adr/0021.
 */
export class ApiClient {
  readonly #access: ApiAccess;
  readonly #agent: HttpAgent;

  constructor(access: ApiAccess) {
    this.#access = access;
    const { ca, certificate, key } = access;
    this.#agent =
      access.server.protocol === 'http:'
        ? new HttpAgent({ keepAlive: true })
        : new HttpsAgent({
            keepAlive: true,
            ...(ca !== undefined && { ca }),
            ...(certificate !== undefined && { cert: certificate }),
            ...(key !== undefined && { key }),
          });
  }

  /** The value of a 2xx answer. Rejects with `ApiError`. */
  get(path: string, signal?: AbortSignal): Promise<unknown> {
    return this.#ask('GET', path, undefined, signal === undefined ? {} : { signal });
  }

  send(
    method: 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    path: string,
    body: unknown,
    options?: SendOptions,
  ): Promise<unknown> {
    return this.#ask(method, path, JSON.stringify(body), options ?? {});
  }

  /**
   * Follows a watch to its end, which is ordinary: the server ends each after some minutes. Rejects with `ApiError` when
   * it could not begin, broke, fell silent, or told something that is no event.
   */
  async watch(path: string, { onEvent, silenceMaxMs, signal }: WatchOptions): Promise<void> {
    const response = await this.#open('GET', path, undefined, { signal });
    if (response.statusCode !== 200) throw await refusalOf('GET', path, response);
    response.socket.setTimeout(silenceMaxMs, () =>
      response.destroy(new Error(`nothing came for ${silenceMaxMs / 1000} s`)),
    );
    try {
      let rest = '';
      const decoder = new StringDecoder('utf8');
      for await (const chunk of response as AsyncIterable<Buffer>) {
        const lines = (rest + decoder.write(chunk)).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > EVENT_CHARS_MAX) throw new Error('an event is larger than 16 MiB');
        for (const line of lines) if (line !== '') onEvent(parseEvent(line));
      }
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      throw new ApiError(`the watch of ${path} broke: ${(cause as Error).message}`, 0, '', undefined, cause);
    } finally {
      response.socket.setTimeout(0);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #ask(method: string, path: string, body: string | undefined, options: SendOptions): Promise<unknown> {
    const deadline = AbortSignal.timeout(ANSWER_DEADLINE_MS);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
    const response = await this.#open(method, path, body, { ...options, signal });
    if ((response.statusCode ?? 0) >= 300) throw await refusalOf(method, path, response);
    return parseJson(await readAll(response, path), path);
  }

  async #open(
    method: string,
    path: string,
    body: string | undefined,
    { signal, contentType = 'application/json' }: SendOptions,
  ): Promise<IncomingMessage> {
    const { server, token } = this.#access;
    const bearer = await token?.();
    const url = new URL(server.pathname.replace(/\/$/, '') + path, server);
    const send = server.protocol === 'http:' ? httpRequest : httpsRequest;
    return new Promise((resolve, reject) => {
      const request: ClientRequest = send(url, {
        method,
        agent: this.#agent,
        headers: {
          accept: 'application/json',
          ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
          ...(body !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }),
        },
        ...(signal !== undefined && { signal }),
      });
      request.on('response', resolve);
      request.on('error', (cause) =>
        reject(new ApiError(`${method} ${path}: ${cause.message}`, 0, '', undefined, cause)),
      );
      request.end(body);
    });
  }
}

async function readAll(response: IncomingMessage, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > ANSWER_BYTES_MAX) throw new Error('the answer is larger than 256 MiB');
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new ApiError(`the answer to ${path} broke off: ${(cause as Error).message}`, 0, '', undefined, cause);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(body: string, path: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new ApiError(`the answer to ${path} is no JSON`, 0, '', undefined, cause);
  }
}

async function refusalOf(method: string, path: string, response: IncomingMessage): Promise<ApiError> {
  const status = response.statusCode ?? 0;
  const body = await readAll(response, path).catch(() => '');
  let said: { message?: unknown; reason?: unknown } = {};
  try {
    said = JSON.parse(body) as typeof said;
  } catch {
    // What is in between may answer with a page of its own; the status says enough.
  }
  const message = typeof said?.message === 'string' ? said.message : `status ${status}`;
  const seconds = Number(response.headers['retry-after']);
  return new ApiError(
    `${method} ${path.replace(/\?.*/, '')}: ${message}`,
    status,
    typeof said?.reason === 'string' ? said.reason : '',
    Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined,
  );
}

function parseEvent(line: string): WatchEvent {
  const value: unknown = JSON.parse(line);
  const { type, object } = (value ?? {}) as { type?: unknown; object?: unknown };
  if (typeof type !== 'string') throw new Error('what came is no event');
  if (type !== 'ERROR') return { type, object };
  const { message, code, reason } = (object ?? {}) as { message?: unknown; code?: unknown; reason?: unknown };
  throw new ApiError(
    typeof message === 'string' ? message : 'the watch ended with an error',
    typeof code === 'number' ? code : 0,
    typeof reason === 'string' ? reason : '',
  );
}
