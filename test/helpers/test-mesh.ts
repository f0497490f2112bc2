// SPDX-License-Identifier: Apache-2.0

import { fileURLToPath } from 'node:url';
import { claimMachine } from '../../src/harness/claim.ts';
import { type Background, until } from '../../src/harness/shell.ts';
import { type MeshOptions, type NodeLetter, type PodShell, TwoNodeMesh } from '../../src/harness/two-node-mesh.ts';

/** For `{ skip }` of a suite: false, or why it cannot run here. */
export const WITHOUT_ROOT: string | false =
  process.getuid?.() === 0 ? false : 'needs root: it makes network namespaces and loads eBPF programs';

const SUBNET = 76;
const PEER = fileURLToPath(new URL('tcp-peer.ts', import.meta.url));

/** First port of `tcp-peer.ts serve`, and what the ones after it do. */
export const PEER_PORTS = { count: 9000, reset: 9001, echo: 9002, caller: 9003, late: 9004, deaf: 9005 } as const;

/** Command line of one end of a connection, see tcp-peer.ts. */
export function peer(...args: (string | number)[]): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', PEER, ...args.map(String)];
}

/** A namespace as a manifest, on the mesh or not. */
export function namespaceManifest(
  name: string,
  ambient: boolean,
  annotations: Readonly<Record<string, string>> = {},
): string {
  const labels = ambient ? '  labels: { istio.io/dataplane-mode: ambient }\n' : '';
  const notes = Object.entries(annotations).map(([key, value]) => `    ${key}: "${value}"\n`);
  return `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${name}\n${labels}${notes.length > 0 ? `  annotations:\n${notes.join('')}` : ''}`;
}

/** A mesh for one test file, claimed for it; `close` fails when something is left behind. */
export class TestMesh {
  readonly mesh: TwoNodeMesh;
  readonly #release: () => void;
  readonly #shells: PodShell[] = [];

  private constructor(mesh: TwoNodeMesh, release: () => void) {
    this.mesh = mesh;
    this.#release = release;
  }

  static async open(
    manifests: Readonly<Record<string, string>>,
    options: Partial<MeshOptions> = {},
  ): Promise<TestMesh> {
    const claim = await claimMachine('test');
    try {
      const agentFlags = ['--ping-interval', '2s', ...(options.agentFlags ?? ['--keep-pods=false'])];
      const mesh = await TwoNodeMesh.open('test', { subnet: SUBNET, ...options, agentFlags }, manifests);
      return new TestMesh(mesh, () => claim.release());
    } catch (error) {
      claim.release();
      throw error;
    }
  }

  shell(
    node: NodeLetter,
    namespace: string,
    name: string,
    annotations: Readonly<Record<string, string>> = {},
  ): PodShell {
    const shell = this.mesh.openShell({
      node,
      namespace,
      name,
      serviceAccount: name,
      labels: { app: name },
      annotations,
    });
    this.#shells.push(shell);
    return shell;
  }

  /** A pod that serves the four ports of tcp-peer.ts. Returns its addresses and its output. */
  async server(
    node: NodeLetter,
    namespace: string,
    name: string,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<Server> {
    const pod = { node, namespace, name, serviceAccount: name, labels: { app: name }, annotations };
    const process = this.mesh.startPod(pod, peer('serve', PEER_PORTS.count));
    const [address, address6] = await until(`${namespace}/${name} has addresses`, async () => {
      if (process.child.exitCode !== null) throw new Error(`pod ${name} ended: ${process.log()}`);
      const status = await this.mesh.ask<{
        pods: { namespace: string; name: string; addresses: string[]; state: string }[];
      }>(node, 'status');
      const found = status.pods.find((one) => one.namespace === namespace && one.name === name);
      return found !== undefined && ['captured', 'uncaptured'].includes(found.state) ? found.addresses : undefined;
    });
    return { process, address: address ?? '', address6: address6 ?? '' };
  }

  /** A named counter of an agent. */
  async counter(node: NodeLetter, name: string): Promise<number> {
    const { counters } = await this.mesh.ask<{ counters: Record<string, number> }>(node, 'status');
    return counters[name] ?? 0;
  }

  /** Waits until one line of an agent's log has all of these; returns it. */
  untilLogged(node: NodeLetter, ...parts: readonly string[]): Promise<string> {
    const find = () =>
      this.mesh
        .agent(node)
        .log()
        .split('\n')
        .find((line) => parts.every((part) => line.includes(part)));
    return until(`agent ${node} logs ${parts.join(', ')} in one line`, find, 5000);
  }

  async close(): Promise<void> {
    try {
      await Promise.all(this.#shells.map((shell) => shell.close()));
      this.mesh.saveLogs();
      const left = await this.mesh.close();
      if (left.length > 0) throw new Error(`the mesh left behind: ${left.join(', ')}`);
    } finally {
      this.#release();
    }
  }
}

export interface Server {
  readonly process: Background;
  readonly address: string;
  readonly address6: string;
}

/** Asks until the caller's port answers: the pod's program needs a moment to listen. */
export async function untilServing(from: PodShell, address: string): Promise<void> {
  await until(`${address} serves`, async () => {
    const answer = await from.exec(peer('ask', address, PEER_PORTS.caller).join(' '));
    return answer.code === 0 && answer.stdout.trim() !== '' ? true : undefined;
  });
}
