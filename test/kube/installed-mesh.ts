// SPDX-License-Identifier: Apache-2.0

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Outcome, until } from '#src/harness/shell.ts';
import { Cluster, type ClusterNode } from './cluster.ts';
import { GROUNDWIRE_IMAGE, packGroundwire, packPause, packTools, TOOLS_IMAGE } from './images.ts';
import { buildParts } from './parts.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const NAMESPACE = 'groundwire-system';

/** One line of an access log, as JSON. */
export type AccessRecord = Readonly<Record<string, unknown>>;

/** A cluster with the mesh installed as docs/install.md says, and what its scenarios ask. */
export class InstalledMesh {
  readonly cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  static async open(): Promise<InstalledMesh> {
    const say = (line: string): void => void process.stdout.write(`  ${line}\n`);
    const bin = await buildParts(say);
    const images = join(repository, 'build/kube/images');
    mkdirSync(images, { recursive: true });
    say('packing images');
    const archives = [await packPause(images), await packTools(images), await packGroundwire(repository, images)];
    say('starting a cluster of two nodes');
    const cluster = await Cluster.open(bin);
    const mesh = new InstalledMesh(cluster);
    try {
      for (const archive of archives) await cluster.importImage(archive);
      await mesh.install();
      return mesh;
    } catch (error) {
      process.stderr.write(`${await mesh.describe()}\n`);
      await cluster.close();
      throw error;
    }
  }

  async install(): Promise<void> {
    for (const file of ['crds.yaml', 'kubernetes.yaml']) await this.cluster.apply(this.#manifest(file));
    await this.#ready();
  }

  async uninstall(): Promise<void> {
    for (const file of ['kubernetes.yaml', 'crds.yaml'])
      await this.cluster.kubectl(['delete', '--ignore-not-found', '--wait', '-f', '-'], {
        input: this.#manifest(file),
        timeoutMs: 120_000,
      });
  }

  /** No registry is asked: the image is there. */
  #manifest(file: string): string {
    const text = readFileSync(join(repository, 'daemonset', file), 'utf8');
    return text.replaceAll(
      `image: ${GROUNDWIRE_IMAGE}`,
      `image: ${GROUNDWIRE_IMAGE}\n          imagePullPolicy: Never`,
    );
  }

  async #ready(): Promise<void> {
    for (const what of ['deployment/groundwire-control', 'daemonset/groundwire-agent'])
      await this.cluster.kubectl(['rollout', 'status', '-n', NAMESPACE, what, '--timeout=150s'], {
        timeoutMs: 160_000,
      });
  }

  /** Waits until every pod of a namespace that is not ending is ready. */
  async podsReady(namespace: string): Promise<void> {
    await this.cluster.kubectl(['wait', '-n', namespace, '--for=condition=Ready', 'pod', '--all', '--timeout=90s'], {
      timeoutMs: 100_000,
    });
  }

  /** Whether the mesh serves the pod over HBONE, as the pod itself says. */
  async redirection(namespace: string, name: string): Promise<string> {
    return this.cluster.kubectl([
      'get',
      'pod',
      '-n',
      namespace,
      name,
      '-o',
      'jsonpath={.metadata.annotations.ambient\\.istio\\.io/redirection}',
    ]);
  }

  async enrolled(namespace: string, name: string, wanted = true): Promise<void> {
    const value = wanted ? 'enabled' : '';
    await until(
      `${namespace}/${name} is ${wanted ? 'in' : 'out of'} the mesh`,
      async () => ((await this.redirection(namespace, name)) === value ? true : undefined),
      30_000,
      200,
    );
  }

  /** Runs a command in a pod. */
  exec(pod: string, command: readonly string[]): Promise<Outcome> {
    const [namespace = '', name = ''] = pod.split('/');
    return this.cluster.tryKubectl(['exec', '-n', namespace, name, '--', ...command], { timeoutMs: 60_000 });
  }

  /** What a pod gets from there, or curl's exit status where it gets nothing. */
  async curl(pod: string, url: string): Promise<string> {
    const { code, stdout } = await this.exec(pod, ['curl', '-sS', '-m', '5', url]);
    return code === 0 ? stdout.trim() : `curl ${code}`;
  }

  /** The access log of a node's agent so far. */
  async accessLog(node: ClusterNode): Promise<AccessRecord[]> {
    const text = await this.agentLog(node);
    return text
      .split('\n')
      .filter((line) => line.startsWith('{') && line.includes('"scope":"access"'))
      .map((line) => JSON.parse(line) as AccessRecord);
  }

  async agentLog(node: ClusterNode): Promise<string> {
    return this.cluster.kubectl(['logs', '-n', NAMESPACE, await this.agentOf(node), '--tail=-1']);
  }

  async agentOf(node: ClusterNode): Promise<string> {
    const found = await this.cluster.kubectl([
      'get',
      'pod',
      '-n',
      NAMESPACE,
      '-l',
      'app.kubernetes.io/name=groundwire-agent',
      '--field-selector',
      `spec.nodeName=${node.name},status.phase=Running`,
      '-o',
      'jsonpath={.items[0].metadata.name}',
    ]);
    return found.trim();
  }

  /** Everything that may say why a scenario failed. */
  async describe(): Promise<string> {
    const ask = async (...args: string[]): Promise<string> => (await this.cluster.tryKubectl(args)).stdout;
    const names = (await ask('get', 'pods', '-n', NAMESPACE, '-o', 'name')).split('\n').filter((name) => name !== '');
    const logs = await Promise.all(
      names.map(async (name) => `--- ${name}\n${await ask('logs', '-n', NAMESPACE, name, '--tail=20')}`),
    );
    return [
      await ask('get', 'pods', '-A', '-o', 'wide'),
      await ask('get', 'events', '-A'),
      ...logs,
      this.cluster.tails(),
    ].join('\n');
  }

  async close(): Promise<void> {
    await this.cluster.close();
  }
}

/** A pod that runs one shell command line. */
export function pod(
  name: string,
  options: { namespace: string; node?: string; account?: string; run?: string; labels?: Record<string, string> },
): string {
  const { namespace, node, account, run = 'exec sleep 1000000', labels = { app: name } } = options;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: {
      ...(node !== undefined && { nodeName: node }),
      ...(account !== undefined && { serviceAccountName: account }),
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: TOOLS_IMAGE, imagePullPolicy: 'Never', args: [run] }],
    },
  });
}

/** A program for `pod`: an HTTP server on that port that says this. */
export function serving(text: string, port: number): string {
  return `mkdir -p /w; echo ${text} > /w/index.html; exec httpd -f -p ${port} -h /w`;
}

export function object(
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string,
  spec: object,
  more: object = {},
): string {
  return JSON.stringify({
    apiVersion,
    kind,
    metadata: { name, ...(namespace !== '' && { namespace }), ...more },
    spec,
  });
}
