// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { claimMachine } from '../../src/harness/claim.ts';
import { type MeshNames, meshNames, sweep } from '../../src/harness/remains.ts';
import { type Background, must, type Outcome, run, start, until } from '../../src/harness/shell.ts';
import { GROUNDWIRE } from '../../src/harness/two-node-mesh.ts';
import { describeTwoNodes, onNode } from '../../src/harness/two-nodes.ts';
import { namespaceManifest, PEER_PORTS, peer, WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const UPSTREAM = fileURLToPath(new URL('../helpers/dns-upstream.ts', import.meta.url));

describe('groundwire up: one machine', { skip: WITHOUT_ROOT }, () => {
  const node = describeTwoNodes('test', 76).a;
  const names: MeshNames = meshNames('test');
  let release: () => void;
  let up: Background;

  before(async () => {
    const claim = await claimMachine('test');
    release = () => claim.release();
    await sweep(names);
    const manifests = join(names.directory, 'manifests');
    mkdirSync(manifests, { recursive: true });
    writeFileSync(join(manifests, 'shop.yaml'), namespaceManifest('shop', true));
    // A machine of its own, as far as the network goes.
    await must(['ip', 'netns', 'add', node.netns]);
    await must(['ip', '-n', node.netns, 'link', 'set', 'lo', 'up']);
    await must(['ip', '-n', node.netns, 'address', 'add', `${node.address}/32`, 'dev', 'lo']);
    up = start(
      onNode(node, [
        GROUNDWIRE,
        'up',
        '--node',
        node.name,
        '--manifests',
        manifests,
        '--state-dir',
        join(names.directory, 'state'),
        '--resolvers',
        node.address,
      ]),
      join(names.directory, 'up.log'),
    );
    await until('it is ready', async () => {
      if (up.child.exitCode !== null) throw new Error(up.log());
      return (await run([GROUNDWIRE, 'status', '--node', node.name])).code === 0 ? true : undefined;
    });
  });
  after(async () => {
    await up.stop();
    const left = await sweep(names);
    release();
    assert.deepEqual(left, []);
  });

  const podIn = (namespace: string, account: string, name: string, ...command: string[]): [string, ...string[]] => [
    GROUNDWIRE,
    'run',
    '--node',
    node.name,
    '--namespace',
    namespace,
    '--name',
    name,
    '--service-account',
    account,
    '--',
    ...command,
  ];
  const pod = (name: string, ...command: string[]): [string, ...string[]] => podIn('shop', name, name, ...command);

  it('serves one pod to another', async () => {
    const server = start(pod('web', ...peer('serve', PEER_PORTS.count)), join(names.directory, 'web.log'));
    const status = async () =>
      JSON.parse(await must([GROUNDWIRE, 'status', '--node', node.name, '-o', 'json'])) as {
        pods: { name: string; addresses: string[] }[];
      };
    const address = await until(
      'web has an address',
      async () => (await status()).pods.find((one) => one.name === 'web')?.addresses[0],
    );
    const answer = await until('web answers', async (): Promise<Outcome | undefined> => {
      const outcome = await run(pod('client', ...peer('ask', address, PEER_PORTS.caller)));
      return /^[0-9.]+ /.test(outcome.stdout) ? outcome : undefined;
    });
    assert.equal(answer.code, 0);
    await server.stop();
  });

  it('asks for names outside as the node: nobody beyond the machine knows the way to its pods', async () => {
    const upstream = start(
      onNode(node, [process.execPath, '--disable-warning=ExperimentalWarning', UPSTREAM, node.address]),
      join(names.directory, 'upstream.log'),
    );
    try {
      await until('the name server listens', () => (upstream.log().includes('listening') ? true : undefined));
      const answer = await run(pod('asker', 'getent', 'ahostsv4', 'whoami.example'));
      assert.equal(answer.stdout.split(/\s/)[0], node.address, `${answer.stdout} ${answer.stderr}`);
    } finally {
      await upstream.stop();
    }
  });

  it('tells what is wrong with its manifests where a person looks, and what stands for a policy it cannot read', async () => {
    const file = join(names.directory, 'manifests', 'bad.yaml');
    const ask = async (command: string): Promise<string> =>
      (await run([GROUNDWIRE, command, '--node', node.name])).stdout;
    const policy =
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: other}\n';
    writeFileSync(file, `${policy}spec: {rulez: []}\n`);
    await until('status names the policy', async () =>
      /manifest refused.*bad\.yaml:4: AuthorizationPolicy other\/p/.test(await ask('status')) ? true : undefined,
    );
    await until('the agent has what stands for it', async () =>
      (await ask('policies')).includes('groundwire_unreadable_p') ? true : undefined,
    );
    rmSync(file);
    await until('nothing is wrong any more', async () =>
      /manifest refused/.test(await ask('status')) ? undefined : true,
    );
  });

  it('tells of a namespace and of an account that no manifest has, and starts the program', async () => {
    const strayed = await run(podIn('shpo', 'default', 'stray', 'echo', 'started'));
    assert.deepEqual([strayed.stdout, strayed.code], ['started\n', 0]);
    assert.match(strayed.stderr, /^groundwire: notice: namespace shpo has no object .*: the pod is outside the mesh$/m);
    const unnamed = await run(podIn('shop', 'nosuch', 'stray', 'echo', 'started'));
    assert.deepEqual([unnamed.stdout, unnamed.code], ['started\n', 0]);
    assert.match(unnamed.stderr, /^groundwire: notice: service account shop\/nosuch has no object in the manifests/m);
    assert.equal((await run(podIn('shop', 'default', 'stray', 'echo', 'started'))).stderr, '');
  });

  it('explains what happens to a connection of a pod that is not captured, and of one that is', async () => {
    const file = join(names.directory, 'manifests', 'strict.yaml');
    writeFileSync(
      file,
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n',
    );
    const hold = (namespace: string, name: string): Background =>
      start(podIn(namespace, 'default', name, 'sleep', '600'), join(names.directory, `${name}.log`));
    const pods = [hold('shop', 'one'), hold('shop', 'two'), hold('plain', 'pl')];
    try {
      const explain = async (from: string, direction = 'outbound'): Promise<string> => {
        const { stdout } = await run([GROUNDWIRE, 'status', '--node', node.name, '-o', 'json']);
        const { pods: known } = JSON.parse(stdout) as { pods: { name: string; addresses: string[] }[] };
        const to = `${known.find(({ name }) => name === 'one')?.addresses[0] ?? '192.0.2.1'}:80`;
        const words = ['--node', node.name, '--direction', direction, '--from', from, '--to', to];
        return (await run([GROUNDWIRE, 'explain', ...words])).stdout;
      };
      const says = (what: RegExp, from: string, direction?: string): Promise<true> =>
        until(`explain says ${what}`, async () => (what.test(await explain(from, direction)) ? true : undefined));
      await says(/^goes 1 way: let in\n[^]*handoff to/, 'shop/two');
      await says(/^plain\/pl is not captured: [^]*there refused: .*STRICT: plaintext is refused/, 'plain/pl');
      await says(/^refused: [^]*STRICT: plaintext is refused/, 'plain/pl', 'inbound');
    } finally {
      for (const one of pods) await one.stop();
      rmSync(file);
    }
  });

  it('gives the status of the program as its own', async () => {
    assert.equal((await run(pod('fails', 'sh', '-c', 'exit 7'))).code, 7);
  });
});
