// SPDX-License-Identifier: Apache-2.0

import { readdirSync, statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';

import { isSystemError, systemReason } from '../config/setting-error.ts';
import type { Config } from '../config/table.ts';
import { homeFiles } from '../node/home-files.ts';
import { explainAbsence } from './absent-agent.ts';
import { CliError, EXIT, type ExitCode } from './exit-code.ts';

export type Target = Config<'target'>['target'];

const ANSWER_TIMEOUT_MS = 10_000;
const NOBODY_THERE: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED']);

/** A held connection: `lost` settles when the other side, or `close`, ended it. */
export interface Held {
  readonly lost: Promise<void>;
  readonly close: () => void;
}

/** An agent of this machine, through its socket. */
export class AgentClient {
  readonly socket: string;

  private constructor(socket: string) {
    this.socket = socket;
  }

  /** Finds the agent that is meant; throws `CliError` when there is none or more than one, or it has gone. */
  static async find({ socket, node, runDirectory }: Target): Promise<AgentClient> {
    if (socket !== undefined) return AgentClient.#findAt(socket);
    if (node !== undefined) return AgentClient.#findAt(homeFiles(runDirectory, node).socket);
    const all = listNodes(runDirectory).map((name) => ({ name, socket: homeFiles(runDirectory, name).socket }));
    const listening = await Promise.all(all.map((one) => isListenedOn(one.socket)));
    const alive = all.filter((_, index) => listening[index]);
    const [only, ...others] = alive;
    if (only === undefined) throw await noneRuns(runDirectory, all);
    if (others.length > 0) {
      const names = alive.map(({ name }) => name).join(', ');
      throw new CliError(
        EXIT.usage,
        `${alive.length} agents run on this machine (${names}): say which with --node NAME`,
      );
    }
    return new AgentClient(only.socket);
  }

  // Where nobody is and nobody was, asking says what is wrong.
  static async #findAt(socket: string): Promise<AgentClient> {
    const absence = (await isListenedOn(socket)) ? undefined : await explainAbsence(socket);
    if (absence !== undefined) throw new CliError(EXIT.unavailable, absence);
    return new AgentClient(socket);
  }

  /** The JSON that the agent answers; throws `CliError` with the agent's words when it refuses. */
  async ask(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    timeoutMs = ANSWER_TIMEOUT_MS,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const response = await this.#send(method, path, body, timeoutMs, signal);
    const text = await readText(response);
    const status = response.statusCode ?? 0;
    const answer = parseJson(text);
    if (status < 400) return answer;
    const said = (answer as { error?: unknown } | undefined)?.error;
    throw new CliError(
      exitCodeOf(status),
      typeof said === 'string' ? said : `the agent answered ${status}: ${text.slice(0, 200)}`,
    );
  }

  /** Opens an answer that does not end; throws `CliError` when it is refused. */
  async hold(path: string): Promise<Held> {
    const response = await this.#send('GET', path, undefined, ANSWER_TIMEOUT_MS);
    if (response.statusCode !== 200) {
      const text = await readText(response);
      throw new CliError(response.statusCode === 404 ? EXIT.notFound : EXIT.unavailable, text.trim());
    }
    response.resume();
    const lost = new Promise<void>((resolve) => response.once('close', () => resolve()));
    return { lost, close: () => response.destroy() };
  }

  #send(
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        host: 'localhost',
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      };
      const sent = request(
        { socketPath: this.socket, method, path, headers, agent: false, ...(signal && { signal }) },
        (response) => {
          sent.setTimeout(0);
          resolve(response);
        },
      );
      sent.setTimeout(timeoutMs, () =>
        sent.destroy(
          new CliError(EXIT.unavailable, `the agent did not answer within ${timeoutMs} ms (${this.socket})`),
        ),
      );
      sent.on('error', (error: NodeJS.ErrnoException) => reject(this.#explain(error)));
      sent.end(text);
    });
  }

  #explain(error: NodeJS.ErrnoException): Error {
    switch (error.code) {
      case 'ENOENT':
        return new CliError(
          EXIT.unavailable,
          `no agent runs here: ${this.socket} does not exist; start one with \`groundwire up\` or \`groundwire agent\``,
        );
      case 'ECONNREFUSED':
        if (!isSocket(this.socket))
          return new CliError(EXIT.usage, `${this.socket} is no socket; name that of an agent with --socket`);
        return new CliError(EXIT.unavailable, `the agent is gone: nobody listens on ${this.socket}; start it again`);
      case 'ECONNRESET':
      case 'EPIPE':
        return new CliError(EXIT.unavailable, `the agent ended while it was asked (${this.socket}); look at its log`);
      case 'EACCES':
        return new CliError(EXIT.permission, `${this.socket} may only be opened by root; try again with sudo`);
      case undefined:
        return error;
      default:
        return new CliError(
          EXIT.unavailable,
          `${this.socket} cannot be asked: ${isSystemError(error) ? systemReason(error) : error.message}; name the agent's socket with --socket, or its node with --node`,
        );
    }
  }
}

function exitCodeOf(status: number): ExitCode {
  if (status === 404) return EXIT.notFound;
  if (status === 409) return EXIT.busy;
  return status < 500 ? EXIT.usage : EXIT.unavailable;
}

function listNodes(runDirectory: string): readonly string[] {
  try {
    const entries = readdirSync(runDirectory, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES')
      throw new CliError(EXIT.permission, `${runDirectory} may only be read by root; try again with sudo`);
    if (code === 'ENOTDIR')
      throw new CliError(EXIT.usage, `${runDirectory} is no directory; name that of the agents with --run-dir`);
    throw notRunning(runDirectory);
  }
}

async function noneRuns(runDirectory: string, nodes: readonly { readonly socket: string }[]): Promise<CliError> {
  const absences = await Promise.all(nodes.map(({ socket }) => explainAbsence(socket)));
  const told = absences.filter((absence) => absence !== undefined);
  return told.length === 0 ? notRunning(runDirectory) : new CliError(EXIT.unavailable, told.join('\n'));
}

function notRunning(runDirectory: string): CliError {
  return new CliError(
    EXIT.unavailable,
    `no agent runs on this machine (looked in ${runDirectory}); start one with \`groundwire up\` or \`groundwire agent\``,
  );
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

function isListenedOn(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Not allowed to ask, or not able to, is not the same as nobody there: the question itself says so then.
    probe.once('error', ({ code = '' }: NodeJS.ErrnoException) => resolve(!NOBODY_THERE.has(code)));
  });
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
