// SPDX-License-Identifier: Apache-2.0

// Life of a pod, as its holder sees it:
//   1. ask the agent for a pod (it makes the sandbox and, if the namespace is in the mesh, captures it first)
//   2. hold a connection: the agent knows by it, and by our process, that the pod is wanted
//   3. start the command inside; pass signals; a broken connection is made again, so an agent may restart meanwhile
//   4. told to end (SIGTERM, SIGINT, SIGQUIT): say so first, so that nobody new is sent here, then pass the signal on
//   5. when the command has ended, have the pod removed and end with its status

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/table.ts';
import { errorText } from '../model/error-text.ts';
import { commandInSandbox, type Sandbox } from '../pods/sandbox.ts';
import { AgentClient } from './agent-client.ts';
import { type CommandIo, defineCommand } from './command.ts';
import { CliError, EXIT } from './exit-code.ts';

// Longer than the agent's own bounds for a decision and a capture, so that its reason arrives and not ours.
const CREATE_TIMEOUT_MS = 120_000;
const REMOVE_TIMEOUT_MS = 30_000;
const HOLD_RETRY_MS = 500;
// The agent answers at once or is away: a program that is told to end does not wait long for it.
const TELL_TIMEOUT_MS = 250;
const ENDING_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT'];
const PASSED_SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'] as const;

interface CreatedPod {
  readonly uid: string;
  readonly sandbox: Sandbox;
  readonly notices: readonly string[];
}

export const command = defineCommand({
  name: 'run',
  summary: 'Start a program as a pod of this node, known to the whole mesh.',
  usage: '--name [--namespace] [--service-account] [--label]… [--subdomain] -- COMMAND [ARGUMENT]…',
  description:
    'The program gets a network namespace with an address of its own, a cgroup, a hostname and a resolv.conf. If its namespace\n' +
    'is in the mesh it is captured before it starts. Signals are passed on; the status is that of the program. The pod and\n' +
    'everything in it ends with this command, whatever way it ends.',
  examples: [
    'groundwire run --namespace shop --name web --service-account web --label app=web --port http=8080 -- nginx -g "daemon off;"',
    'groundwire run -n shop --name client -- curl -s http://web.shop/',
    'groundwire run -n shop --name shell -- bash',
  ],
  parts: ['run', 'target'],
  run: async ({ run, target }, { rest }, io) => {
    if (rest.length === 0)
      throw new CliError(EXIT.usage, 'what is to run? Put it after "--": groundwire run --name web -- COMMAND');
    if (process.getuid?.() !== 0)
      throw new CliError(
        EXIT.permission,
        'groundwire run needs root: it moves the program into a network namespace and a cgroup',
      );
    const agent = await AgentClient.find(target);
    return runPod(agent, run, rest, io);
  },
});

async function runPod(
  agent: AgentClient,
  run: Config<'run'>['run'],
  words: readonly string[],
  io: CommandIo,
): Promise<number> {
  let child: ChildProcess | undefined;
  let uid = '';
  let told: Promise<void> | undefined;
  // Before the program hears of it, so that nobody is sent to one that listens no more.
  const sayTerminating = (): Promise<void> => (told ??= terminatePod(agent, uid));
  let early: NodeJS.Signals | undefined;
  const creation = new AbortController();
  // On a terminal Ctrl-C reaches the whole foreground group, the program included: passing it on would double it.
  const fromTerminal = process.stdin.isTTY;
  const unwatch = io.onSignals(PASSED_SIGNALS, (signal) => {
    if (child === undefined) {
      early ??= signal;
      creation.abort();
    } else if (ENDING_SIGNALS.includes(signal)) {
      void sayTerminating().finally(() => {
        if (!(fromTerminal && signal !== 'SIGTERM')) child?.kill(signal);
      });
    } else {
      child.kill(signal);
    }
  });
  try {
    const pod = await createPod(agent, run, creation.signal);
    uid = pod.uid;
    for (const notice of pod.notices) io.printError(`notice: ${notice}`);
    const holder = new Holder(agent, pod.uid);
    try {
      await holder.start();
      if (early !== undefined) return signalStatus(early);
      const [program, ...args] = commandInSandbox(pod.sandbox, words) as [string, ...string[]];
      child = spawn(program, args, { stdio: 'inherit' });
      return await statusOf(child);
    } finally {
      holder.stop();
      await removePod(agent, pod.uid, io);
    }
  } catch (error) {
    // The agent gives up a pod whose asker has gone.
    if (early !== undefined && creation.signal.aborted) return signalStatus(early);
    throw error;
  } finally {
    unwatch();
  }
}

async function createPod(agent: AgentClient, run: Config<'run'>['run'], signal: AbortSignal): Promise<CreatedPod> {
  const body = {
    namespace: run.namespace,
    name: run.name,
    serviceAccount: run.serviceAccount,
    labels: Object.fromEntries(run.labels),
    annotations: Object.fromEntries(run.annotations),
    ports: Object.fromEntries(run.ports),
    ...(run.subdomain !== undefined && { subdomain: run.subdomain }),
    holderPid: process.pid,
  };
  return (await agent.ask('POST', '/v1/pods', body, CREATE_TIMEOUT_MS, signal)) as CreatedPod;
}

async function terminatePod(agent: AgentClient, uid: string): Promise<void> {
  try {
    await agent.ask('POST', `/v1/pods/${uid}/terminate`, undefined, TELL_TIMEOUT_MS);
  } catch {
    // It ends all the same; others hear of it when it has.
  }
}

async function removePod(agent: AgentClient, uid: string, io: CommandIo): Promise<void> {
  try {
    await agent.ask('DELETE', `/v1/pods/${uid}`, undefined, REMOVE_TIMEOUT_MS);
  } catch (error) {
    // The agent was faster.
    if (error instanceof CliError && error.exitCode === EXIT.notFound) return;
    // The next agent of this node removes it: its holder, this process, is gone then.
    io.printError(`the pod's network namespace stays until an agent runs again: ${errorText(error)}`);
  }
}

function statusOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) =>
      reject(
        new CliError(EXIT.system, `setpriv (util-linux), which starts the program, did not start: ${error.message}`),
      ),
    );
    child.on('exit', (code, signal) => resolve(code ?? signalStatus(signal ?? 'SIGKILL')));
  });
}

/** As a shell counts. */
function signalStatus(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** Keeps the connection that holds the pod, making it again when the agent was restarted. */
class Holder {
  readonly #agent: AgentClient;
  readonly #path: string;
  #close = (): void => {};
  #stopped = false;

  constructor(agent: AgentClient, uid: string) {
    this.#agent = agent;
    this.#path = `/v1/pods/${uid}/hold`;
  }

  async start(): Promise<void> {
    const held = await this.#agent.hold(this.#path);
    this.#close = held.close;
    void held.lost.then(() => this.#again());
  }

  stop(): void {
    this.#stopped = true;
    this.#close();
  }

  async #again(): Promise<void> {
    while (!this.#stopped) {
      await sleep(HOLD_RETRY_MS, undefined, { ref: false });
      try {
        await this.start();
        return;
      } catch (error) {
        // The agent ended the pod, and with it the program: its end is what we wait for.
        if (error instanceof CliError && error.exitCode === EXIT.notFound) return;
      }
    }
  }
}
