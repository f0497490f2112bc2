// SPDX-License-Identifier: Apache-2.0

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeEnd, type Part } from './part.ts';
import { type MeshNames, meshNames, sweep } from './remains.ts';
import { type Background, must, type Outcome, type RunOptions, run, start, until } from './shell.ts';
import { describeTwoNodes, onNode, openTwoNodes, type TwoNodes } from './two-nodes.ts';

/** The command line of this project, as a user runs it. */
export const GROUNDWIRE = fileURLToPath(new URL('../../bin/groundwire', import.meta.url));

const CONTROL_PORT = 15012;

export type NodeLetter = 'a' | 'b';

export interface MeshOptions {
  /** Second number of the mesh's addresses; two meshes on one machine need two. */
  readonly subnet: number;
  readonly controlFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
}

export interface PodOptions {
  readonly node: NodeLetter;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What the control plane's and agents' command lines make of one mesh: two nodes, each with an agent, and one control plane. */
export class TwoNodeMesh {
  readonly names: MeshNames;
  readonly nodes: TwoNodes;
  readonly manifests: string;
  readonly #options: MeshOptions;
  /** The programs of the mesh, each as it was started last. */
  readonly #parts = new Map<string, Part>();
  readonly #toldEnds = new Set<Part>();
  #control: Background | undefined;
  readonly #agents = new Map<NodeLetter, Background>();

  private constructor(names: MeshNames, options: MeshOptions) {
    this.names = names;
    this.nodes = describeTwoNodes(names.mesh, options.subnet);
    this.manifests = join(names.directory, 'manifests');
    this.#options = options;
  }

  /** Sweeps what an earlier run left, makes the nodes, and writes the first manifests. Nothing of ours runs yet. */
  static async prepare(
    mesh: string,
    options: MeshOptions,
    manifests: Readonly<Record<string, string>>,
  ): Promise<TwoNodeMesh> {
    const names = meshNames(mesh);
    const left = await sweep(names);
    if (left.length > 0) throw new Error(`an earlier run left what cannot be removed: ${left.join(', ')}`);
    const made = new TwoNodeMesh(names, options);
    mkdirSync(made.manifests, { recursive: true, mode: 0o700 });
    for (const [file, text] of Object.entries(manifests)) made.writeManifest(file, text);
    await openTwoNodes(made.nodes);
    return made;
  }

  /** Like `prepare`, with the control plane and both agents up and ready. */
  static async open(
    mesh: string,
    options: MeshOptions,
    manifests: Readonly<Record<string, string>>,
  ): Promise<TwoNodeMesh> {
    const made = await TwoNodeMesh.prepare(mesh, options, manifests);
    try {
      await made.startControl();
      await Promise.all([made.startAgent('a'), made.startAgent('b')]);
      return made;
    } catch (error) {
      await made.close();
      throw error;
    }
  }

  /** Writes (or replaces) one file of the manifests directory. */
  writeManifest(file: string, text: string): void {
    writeFileSync(join(this.manifests, file), text);
  }

  removeManifest(file: string): void {
    rmSync(join(this.manifests, file), { force: true });
  }

  get control(): Background {
    if (this.#control === undefined) throw new Error('the control plane has not been started');
    return this.#control;
  }

  agent(letter: NodeLetter): Background {
    const agent = this.#agents.get(letter);
    if (agent === undefined) throw new Error(`the agent of node ${letter} has not been started`);
    return agent;
  }

  /** `groundwire control` on node A; ready when it accepts. */
  async startControl(): Promise<void> {
    const { a } = this.nodes;
    this.#control = start(
      onNode(a, [
        GROUNDWIRE,
        'control',
        '--listen',
        `${a.address}:${CONTROL_PORT}`,
        '--manifests',
        this.manifests,
        '--state-dir',
        join(this.names.directory, 'control'),
        ...(this.#options.controlFlags ?? []),
      ]),
      join(this.names.directory, 'control.log'),
    );
    this.#remember('control plane', '', this.#control);
    await this.#whileAlive(this.#control, 'the control plane listens', async () => {
      const open = await run(onNode(a, ['bash', '-c', `exec 3<>/dev/tcp/${a.address}/${CONTROL_PORT}`]), {
        timeoutMs: 2000,
      });
      return open.code === 0 ? true : undefined;
    });
  }

  /** `groundwire control token`, then `groundwire agent` on a node; ready when it says so. */
  async startAgent(letter: NodeLetter, extraFlags: readonly string[] = []): Promise<void> {
    await this.launchAgent(letter, extraFlags);
    await this.untilReady(letter);
  }

  /** Starts an agent without waiting for it. */
  async launchAgent(letter: NodeLetter, extraFlags: readonly string[] = []): Promise<Background> {
    const node = this.nodes[letter];
    const directory = join(this.names.directory, node.name);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    await must([
      GROUNDWIRE,
      'control',
      'token',
      '--node',
      node.name,
      '--state-dir',
      join(this.names.directory, 'control'),
      '--out',
      this.#tokenFile(letter),
    ]);
    const agent = start(
      this.agentCommand(letter, [
        '--state-dir',
        join(directory, 'state'),
        '--pod-cidr',
        `${node.podCidr},${node.podCidr6}`,
        '--resolvers',
        this.nodes.a.address,
        ...(this.#options.agentFlags ?? []),
        ...extraFlags,
      ]),
      join(this.names.directory, `${node.name}.log`),
    );
    this.#agents.set(letter, agent);
    this.#remember('agent', node.name, agent);
    return agent;
  }

  /** The command line that starts an agent of a node, with the token of the one that was launched there. */
  agentCommand(letter: NodeLetter, flags: readonly string[]): [string, ...string[]] {
    const node = this.nodes[letter];
    return onNode(node, [
      GROUNDWIRE,
      'agent',
      '--node',
      node.name,
      '--control',
      `${this.nodes.a.address}:${CONTROL_PORT}`,
      '--token-file',
      this.#tokenFile(letter),
      ...flags,
    ]);
  }

  async untilReady(letter: NodeLetter): Promise<void> {
    const node = this.nodes[letter];
    await this.#whileAlive(this.agent(letter), `the agent of ${node.name} is ready`, async () => {
      const answer = await run(onNode(node, ['curl', '-sf', '-m', '2', 'http://127.0.0.1:15021/healthz/ready']));
      return answer.code === 0 ? true : undefined;
    });
  }

  /** The command line that starts a pod. */
  runCommand(pod: PodOptions, command: readonly string[]): [string, ...string[]] {
    const pairs = (flag: string, values: Readonly<Record<string, string>> | undefined) =>
      Object.entries(values ?? {}).flatMap(([key, value]) => [flag, `${key}=${value}`]);
    return [
      GROUNDWIRE,
      'run',
      '--node',
      this.nodes[pod.node].name,
      '--namespace',
      pod.namespace,
      '--name',
      pod.name,
      '--service-account',
      pod.serviceAccount ?? 'default',
      ...pairs('--label', pod.labels),
      ...pairs('--annotation', pod.annotations),
      '--',
      ...command,
    ];
  }

  /** Runs one command as a pod to its end. */
  runPod(pod: PodOptions, command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return run(this.runCommand(pod, command), options);
  }

  /** Starts a program as a pod in the background. */
  startPod(pod: PodOptions, command: readonly string[]): Background {
    const logFile = join(this.names.directory, `pod-${pod.namespace}-${pod.name}.log`);
    const started = start(this.runCommand(pod, command), logFile);
    this.#remember('pod', `${pod.namespace}/${pod.name}`, started);
    return started;
  }

  /** Starts a shell as a pod and gives it commands one after another: the way to try things from inside one pod. */
  openShell(pod: PodOptions): PodShell {
    const shell = new PodShell(this.runCommand(pod, ['sh']));
    this.#remember('pod', `${pod.namespace}/${pod.name}`, shell);
    return shell;
  }

  /** What `groundwire COMMAND -o json` says about a node. */
  async ask<T>(letter: NodeLetter, ...command: string[]): Promise<T> {
    const outcome = await run([GROUNDWIRE, ...command, '--node', this.nodes[letter].name, '-o', 'json']);
    // `status` of an agent that is not ready answers, and ends with 1.
    if (outcome.stdout === '') throw new Error(`groundwire ${command.join(' ')}: ${outcome.stderr.trim()}`);
    return JSON.parse(outcome.stdout) as T;
  }

  /** Which programs of the mesh have ended since this was asked last, what follows from it, and what to do. */
  newEnds(): string[] {
    return [...this.#parts.values()].flatMap((part) => {
      const end = this.#toldEnds.has(part) ? undefined : describeEnd(part);
      if (end === undefined) return [];
      this.#toldEnds.add(part);
      return [end];
    });
  }

  /** Copies the logs to where they outlive the mesh. Returns that directory. */
  saveLogs(): string {
    const directory = fileURLToPath(new URL(`../../build/logs/${this.names.mesh}`, import.meta.url));
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    for (const file of readdirSync(this.names.directory)) {
      if (file.endsWith('.log')) copyFileSync(join(this.names.directory, file), join(directory, file));
    }
    return directory;
  }

  /** Ends everything and takes it away. Returns what could not be removed: empty, or a bug. */
  async close(): Promise<string[]> {
    // Agents first, all at once: they take their pods along (`--keep-pods=false` is up to the caller).
    await Promise.all([...this.#agents.values()].map((agent) => agent.stop()));
    await this.#control?.stop();
    return sweep(this.names);
  }

  #tokenFile(letter: NodeLetter): string {
    return join(this.names.directory, this.nodes[letter].name, 'token');
  }

  #remember(kind: Part['kind'], name: string, { command, child }: Pick<Part, 'command' | 'child'>): void {
    this.#parts.set(`${kind} ${name}`, { kind, name, command, child });
  }

  async #whileAlive(process: Background, what: string, probe: () => Promise<true | undefined>): Promise<void> {
    await until(
      what,
      async () => {
        if (process.child.exitCode !== null) return { ended: process.child.exitCode };
        return (await probe()) === true ? { ended: undefined } : undefined;
      },
      30_000,
    ).then(({ ended }) => {
      if (ended === undefined) return;
      const tail = process.log().trim().split('\n').slice(-15).join('\n');
      throw new Error(`${what}: it ended with status ${ended} instead. ${process.logFile} ends:\n${tail}`);
    });
  }
}

/** A shell that runs as a pod. Commands run one at a time. */
export class PodShell {
  readonly command: readonly string[];
  readonly child: ChildProcessWithoutNullStreams;
  #output = '';
  #errors = '';
  #count = 0;

  constructor(command: readonly [string, ...string[]]) {
    this.command = command;
    // A session of its own, so that a Ctrl-C meant for who opened it does not reach the pod.
    this.child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.child.stdin.on('error', () => {});
  }

  /** Runs one line of shell in the pod. Its standard error goes into `stderr` only up to the moment it ends. */
  async exec(script: string, timeoutMs = 20_000): Promise<Outcome> {
    this.#count += 1;
    const mark = `---groundwire-${this.#count}-`;
    const begin = this.#output.length;
    const errorsBegin = this.#errors.length;
    this.child.stdin.write(`( ${script}\n) </dev/null; printf '\\n${mark}%s\\n' $?\n`);
    return until(
      `\`${script}\` to end in its pod`,
      () => {
        const output = this.#output.slice(begin);
        const at = output.indexOf(mark);
        const end = output.indexOf('\n', at);
        if (at < 0 || end < 0) {
          if (this.child.exitCode !== null) throw new Error(`the pod has ended: ${this.#errors.trim()}`);
          return undefined;
        }
        return {
          code: Number(output.slice(at + mark.length, end)),
          stdout: output.slice(0, at - 1),
          stderr: this.#errors.slice(errorsBegin),
        };
      },
      timeoutMs,
      10,
    );
  }

  /** Addresses of the pod, IPv4 first. */
  async addresses(): Promise<string[]> {
    const { stdout } = await this.exec('ip -o address show dev eth0 scope global');
    return [...stdout.matchAll(/inet6? ([0-9a-f.:]+)\//g)].map((match) => match[1] ?? '');
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.stdin.end();
    const insist = setTimeout(() => this.child.kill('SIGTERM'), 2000);
    await ended;
    clearTimeout(insist);
  }
}
