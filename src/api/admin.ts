// SPDX-License-Identifier: Apache-2.0

import { LOG_LEVELS, type LogLevel } from '../model/log.ts';
import { dumpCertificate, dumpConfig, dumpPolicy, dumpService, dumpWorkload } from './config-dump.ts';
import type { AgentFacts, ExplainQuestion } from './facts.ts';
import { type HttpAnswer, HttpError, type HttpRoute } from './http.ts';

/** The verbosity of the agent's log, which can be changed while it runs. */
export interface LogControl {
  readonly level: LogLevel;
  setLevel(level: LogLevel): void;
}

/** What both doors, 127.0.0.1:15000 and the agent's socket, answer; what changes something, the socket alone. */
export function adminRoutes(facts: AgentFacts, log: LogControl): readonly HttpRoute[] {
  const get = (path: string, json: () => unknown): HttpRoute => ({
    method: 'GET',
    path,
    handle: async (): Promise<HttpAnswer> => ({ status: 200, json: await json() }),
  });
  const { mesh } = facts;
  return [
    get('/', () => ({
      endpoints: [
        '/status',
        '/config_dump',
        '/workloads',
        '/services',
        '/policies',
        '/certificates',
        '/connections',
        '/pods',
        '/explain',
        '/logging',
      ],
    })),
    get('/status', () => facts.status()),
    get('/config_dump', () =>
      dumpConfig({
        mesh,
        certificates: facts.certificates(),
        pods: facts.pods(),
        connections: facts.connections(),
        version: facts.version(),
        config: facts.config(),
      }),
    ),
    get('/workloads', () => [...mesh.workloads.values()].map(dumpWorkload)),
    get('/services', () => [...mesh.services.values()].map((service) => dumpService(service, mesh))),
    get('/policies', () => [...mesh.policies.values()].map(dumpPolicy)),
    get('/certificates', () => facts.certificates().map(dumpCertificate)),
    get('/connections', () => facts.connections()),
    get('/pods', () => facts.pods()),
    { method: 'GET', path: '/explain', handle: ({ url }) => explain(facts, url.searchParams) },
    { method: 'GET', path: '/logging', handle: () => ({ status: 200, json: { level: log.level } }) },
    { method: 'POST', path: '/logging', handle: ({ url }) => setLogging(log, url.searchParams) },
  ];
}

function setLogging(log: LogControl, query: URLSearchParams): HttpAnswer {
  const level = LOG_LEVELS.find((one) => one === query.get('level'));
  if (level === undefined) throw new HttpError(400, `?level= must be one of ${LOG_LEVELS.join(', ')}`);
  log.setLevel(level);
  return { status: 200, json: { level: log.level } };
}

function explain(facts: AgentFacts, query: URLSearchParams): HttpAnswer {
  const direction = query.get('direction') ?? 'outbound';
  const from = query.get('from');
  const address = query.get('address');
  const port = Number(query.get('port'));
  if (
    (direction !== 'outbound' && direction !== 'inbound') ||
    from === null ||
    address === null ||
    !Number.isInteger(port) ||
    port < 1 ||
    port > 65_535
  ) {
    throw new HttpError(400, 'needs ?direction=outbound|inbound&from=NAMESPACE/POD|ADDRESS&address=IP|SERVICE&port=N');
  }
  const question: ExplainQuestion = { direction, from, to: { address, port } };
  return { status: 200, json: facts.explain(question) };
}
