// SPDX-License-Identifier: Apache-2.0

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, type Socket } from 'node:net';

import { listenUse, namingAsync, type SettingUse } from '../config/setting-error.ts';
import { type ListenAddress, listen } from '../host/listen.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Clock } from '../model/clock.ts';
import { HTTP_LIMITS, type HttpConnectionCounters, HttpConnections, type HttpLimits } from './http-connections.ts';

const BODY_BYTES_MAX = 64 * 1024;
const BODY_MS_MAX = 10_000;

/** A request that cannot be served, with the status that says whose fault it is. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface HttpRequest {
  readonly url: URL;
  /** What stood in the place of `:name` in the route's path. */
  readonly params: Readonly<Record<string, string>>;
  readonly raw: IncomingMessage;
  /** Aborted when nobody waits for the answer any more; what rejects with its reason then is no failure. */
  readonly gone: AbortSignal;
  /** The body as JSON; throws `HttpError` 400 or 413. */
  readonly readJson: () => Promise<unknown>;
}

/** What is answered: JSON, or text of a given type. */
export type HttpAnswer =
  | { readonly status: number; readonly json: unknown }
  | { readonly status: number; readonly text: string | Uint8Array; readonly type?: string }
  /** The handler has taken the response over. */
  | 'taken';

export interface HttpRoute {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Segments; one that begins with `:` matches any. */
  readonly path: string;
  handle(request: HttpRequest, response: ServerResponse): Promise<HttpAnswer> | HttpAnswer;
}

/** Counted by what came of them; several servers may share one. */
export interface HttpCounters extends HttpConnectionCounters {
  served: number;
  /** Answered with 4xx, or not HTTP at all. */
  refused: number;
  failed: number;
}

export function makeHttpCounters(): HttpCounters {
  return { served: 0, refused: 0, failed: 0, displaced: 0, turnedAway: 0, late: 0 };
}

export interface HttpServerOptions {
  /** Answers only when the Host header is an address or `localhost`: a web page that was pointed at us by DNS names its own host. */
  readonly guardHost: boolean;
  /** Only questions are answered: what may change something is refused with these words. */
  readonly readOnly?: string;
  /** Where they differ from `HTTP_LIMITS`. */
  readonly limits?: Partial<HttpLimits>;
  readonly counters: HttpCounters;
  readonly clock: Clock;
  readonly onError: (error: unknown, request: string) => void;
}

/** A server with these routes; not listening yet. Every refusal is JSON with `error`. */
export function makeHttpServer(routes: readonly HttpRoute[], options: HttpServerOptions): Server {
  const { counters, clock, onError } = options;
  const server = createServer();
  const connections = new HttpConnections(server, { ...HTTP_LIMITS, ...options.limits }, counters, clock);
  server.on('request', (raw, response) => {
    if (!connections.serve(raw.socket, response)) {
      counters.refused += 1;
      raw.socket.destroy();
      return;
    }
    serve(routes, options, raw, response).catch((error: unknown) => {
      counters.failed += 1;
      onError(error, `${raw.method} ${raw.url}`);
      if (!response.headersSent)
        send(response, { status: 500, json: { error: "internal error; the agent's log has it" } });
      else response.destroy();
    });
  });
  server.on('clientError', (_error, socket) => {
    counters.refused += 1;
    connections.refuse(socket as Socket, '400 Bad Request');
  });
  return server;
}

/** Listens on an address or a socket file, which the setting `flag` names; rejects with `SettingError`. */
export async function listenOn(server: Server, where: ListenAddress, flag: string): Promise<Server> {
  await namingAsync(useOf(flag, where), () => listen(server, where));
  return server;
}

function useOf(flag: string, where: ListenAddress): SettingUse {
  if ('path' in where) return { flag, value: where.path, tried: 'listened on', hint: 'name another directory' };
  return listenUse(flag, formatSocketAddress({ address: where.host, port: where.port }));
}

/** Ends at once: idle and held connections are broken. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

async function serve(
  routes: readonly HttpRoute[],
  options: HttpServerOptions,
  raw: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asker = new AbortController();
  response.once('close', () => asker.abort());
  const gone = asker.signal;
  try {
    if (options.guardHost) checkHost(raw);
    if (options.readOnly !== undefined && raw.method !== 'GET' && raw.method !== 'HEAD')
      throw new HttpError(403, options.readOnly);
    const url = parseUrl(raw.url ?? '/');
    const { route, params } = findRoute(routes, raw.method ?? 'GET', url.pathname);
    const answer = await route.handle({ url, params, raw, gone, readJson: () => readJson(raw, options) }, response);
    options.counters.served += 1;
    if (answer !== 'taken') send(response, answer, raw.method === 'HEAD');
  } catch (error) {
    // The caller broke off in the midst of its body: `clientError` has counted it, and nobody is left to be answered.
    if (error === raw.errored || (gone.aborted && error === gone.reason)) return;
    if (!(error instanceof HttpError)) throw error;
    options.counters.refused += 1;
    send(response, { status: error.status, json: { error: error.message } });
    // What is left of a body that was refused is not read.
    if (!raw.complete) raw.destroy();
  }
}

function send(response: ServerResponse, answer: Exclude<HttpAnswer, 'taken'>, headOnly = false): void {
  const isJson = 'json' in answer;
  const body = isJson ? `${JSON.stringify(answer.json, undefined, 2)}\n` : answer.text;
  const type = isJson ? 'application/json' : (answer.type ?? 'text/plain; charset=utf-8');
  response.writeHead(answer.status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(answer.status >= 400 ? { connection: 'close' } : {}),
  });
  response.end(headOnly ? undefined : body);
}

function checkHost(request: IncomingMessage): void {
  const host = (request.headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (host !== 'localhost' && isIP(host) === 0)
    throw new HttpError(403, 'the Host header must be an IP address or localhost');
  // Browsers send Origin with what another site started; no page of ours exists.
  if (request.headers.origin !== undefined) throw new HttpError(403, 'requests from web pages are not served');
}

function parseUrl(target: string): URL {
  try {
    return new URL(target, 'http://agent');
  } catch {
    throw new HttpError(400, 'the request target is not a path');
  }
}

function findRoute(
  routes: readonly HttpRoute[],
  method: string,
  path: string,
): { route: HttpRoute; params: Record<string, string> } {
  const segments = path.split('/').filter((segment) => segment !== '');
  const allowed: string[] = [];
  for (const route of routes) {
    const params = matchPath(
      route.path.split('/').filter((segment) => segment !== ''),
      segments,
    );
    if (params === undefined) continue;
    if (route.method === method || (route.method === 'GET' && method === 'HEAD')) return { route, params };
    allowed.push(route.method);
  }
  if (allowed.length > 0) throw new HttpError(405, `${method} is not served here; ${allowed.join(', ')} is`);
  const known = [...new Set(routes.map((route) => route.path))].join(' ');
  throw new HttpError(404, `nothing is here; there are: ${known}`);
}

function matchPath(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i] as string;
    if (part.startsWith(':')) params[part.slice(1)] = segment;
    else if (part !== segment) return undefined;
  }
  return params;
}

async function readJson(
  request: IncomingMessage,
  { clock, counters }: Pick<HttpServerOptions, 'clock' | 'counters'>,
): Promise<unknown> {
  const cancel = clock.setTimer(BODY_MS_MAX, () => {
    counters.late += 1;
    request.socket.destroy();
  });
  try {
    return JSON.parse(await readBody(request)) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) throw new HttpError(400, 'the body is not JSON');
    throw error;
  } finally {
    cancel();
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new HttpError(413, `the body is larger than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
