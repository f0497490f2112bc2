// SPDX-License-Identifier: Apache-2.0

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { ApiClient } from '#src/kubernetes/api-client.ts';

/** Stands for an API server where a test needs what a real one does not do on request: 410, 429, half an event, silence. */
export interface ApiServerDouble {
  readonly client: ApiClient;
  /** Every request so far: `GET /path?query`. */
  readonly asked: string[];
  /** Answers the next requests, in order; the last one stays. */
  script(...answers: Answer[]): void;
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

export async function openApiServerDouble(t: TestContext): Promise<ApiServerDouble> {
  const asked: string[] = [];
  let answers: Answer[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    answer?.(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new ApiClient({ server: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) });
  t.after(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, asked, script: (...given) => (answers = given) };
}

export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
}

export function refusal(code: number, reason: string, headers: Record<string, string> = {}): Answer {
  return json({ kind: 'Status', message: `no: ${reason}`, reason, code }, code, headers);
}

export function pod(name: string, resourceVersion: string, more: object = {}): object {
  return { metadata: { name, namespace: 'shop', resourceVersion }, ...more };
}

export function list(resourceVersion: string, items: readonly object[], next = ''): Answer {
  return json({ apiVersion: 'v1', kind: 'PodList', metadata: { resourceVersion, continue: next }, items });
}

export function event(type: string, object: object): string {
  return `${JSON.stringify({ type, object })}\n`;
}

/** A watch that says these and then `end`s, breaks in the middle, or stays open and says nothing more. */
export function watch(events: readonly string[], after: 'end' | 'break' | 'stay'): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    for (const one of events) response.write(one);
    if (after === 'end') response.end();
    if (after === 'break') response.write('{"type":"ADD', () => response.destroy());
  };
}
