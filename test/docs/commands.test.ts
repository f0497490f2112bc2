// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { claimMachine } from '../../src/harness/claim.ts';
import { must, run, until } from '../../src/harness/shell.ts';
import { TwoNodeMesh } from '../../src/harness/two-node-mesh.ts';
import { labelledNamespaces, openShop, type Shop, shopManifests } from '../../src/tour/shop.ts';
import { suggestionsFor } from '../../src/tour/stay-up.ts';
import { testFiles } from '../helpers/node-tests.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const root = join(import.meta.dirname, '../..');

/** A block of shell commands in a document: run with the tour up, or on a machine with an address, or not, and why not. */
interface Block {
  readonly where: string;
  readonly commands: string;
  readonly notRun: string | undefined;
  readonly machine: string | undefined;
}

const FENCE =
  /(?:<!-- (?:not run by the documents' test: (?<reason>.*?)|run by the documents' test on a machine with (?<machine>\S+)) -->\n)?```(?:sh|bash|shell|console)\n(?<commands>[^]*?)```/g;

function blocksOf(file: string): Block[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(FENCE)].map((match) => ({
    where: `${file}:${text.slice(0, match.index).split('\n').length}`,
    commands: match.groups?.['commands'] ?? '',
    notRun: match.groups?.['reason'],
    machine: match.groups?.['machine'],
  }));
}

const documents = testFiles(root, '*.md', 'docs/**/*.md').map((path) => path.slice(root.length + 1));
const blocks = documents.flatMap(blocksOf);

describe('the documents', () => {
  it('show commands', () => assert.ok(blocks.some((block) => block.notRun === undefined)));

  it('list every decision', () => {
    const index = readFileSync(join(root, 'docs/adr/README.md'), 'utf8');
    const decisions = documents.filter((file) => /^docs\/adr\/\d/.test(file));
    assert.ok(decisions.length > 0);
    for (const file of decisions) assert.ok(index.includes(`](${basename(file)})`), file);
  });

  for (const file of documents) {
    it(`${file} links to files that exist`, async () => {
      const links = [...readFileSync(join(root, file), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(
        (match) => match[1] ?? '',
      );
      for (const link of links) {
        const found = await run(['test', '-e', join(root, file, '..', link)]);
        assert.equal(found.code, 0, `${file} links to ${link}`);
      }
    });
  }
});

describe('commands of the documents, with the tour up', { skip: WITHOUT_ROOT }, () => {
  let mesh: TwoNodeMesh;
  let shop: Shop;
  let release: () => void;

  const isServed = async () => ((await shop.client.exec('curl -sf -m 2 http://web/')).code === 0 ? true : undefined);
  const areIn = async (state: string) => {
    const { pods } = await mesh.ask<{ pods: { namespace: string; state: string }[] }>('a', 'status');
    return pods.every((pod) => pod.namespace === 'outside' || pod.state === state) ? true : undefined;
  };

  before(async () => {
    const claim = await claimMachine('tour');
    release = () => claim.release();
    mesh = await TwoNodeMesh.open('tour', { subnet: 77, agentFlags: ['--keep-pods=false'] }, shopManifests());
    shop = await openShop(mesh);
    mesh.writeManifest('namespaces.yaml', labelledNamespaces(true));
    await until('the label has taken effect', isServed);
  });
  after(async () => {
    const left = await mesh.close();
    release();
    assert.deepEqual(left, []);
  });

  for (const { where, commands, notRun, machine } of blocks) {
    if (notRun !== undefined || machine !== undefined) continue;
    it(`${where} runs`, async () => {
      const outcome = await run(['bash', '-euo', 'pipefail', '-c', commands], { timeoutMs: 60_000 });
      assert.equal(outcome.code, 0, `${commands}\n${outcome.stdout}\n${outcome.stderr}`);
      // `A || echo refused` succeeds either way: what the document says must be what happened.
      if (commands.includes('|| echo refused')) assert.match(outcome.stdout, /^refused$/m);
    });
  }

  it('what the tour suggests does what it says', async () => {
    const said = new Map<string, string>();
    for (const { what, commands } of suggestionsFor(mesh)) {
      const outcome = await run(['bash', '-c', commands.join('\n')], { timeoutMs: 90_000 });
      assert.equal(outcome.code, 0, `${what}\n${outcome.stdout}\n${outcome.stderr}`);
      said.set(what, outcome.stdout);
      if (what === 'open it again') await until('the shop is open', isServed);
      if (what === 'release the pods') await until('they are released', () => areIn('uncaptured'));
    }
    await until('they are captured again', () => areIn('captured'));
    for (const [what, says] of [
      ['what it knows', /^shop +web /m],
      ['what it carries', /shop\/web/],
      ['who is who', /ns\/shop\/sa\/client/],
      ['a pod of your own', /asked by/],
      ['the wire itself', /\.15008/],
      ['close the shop', /^refused$/m],
    ] as const) {
      assert.match(said.get(what) ?? '', says, what);
    }
    assert.doesNotMatch(said.get('the wire itself') ?? '', /15012/);
  });
});

describe('commands of the documents for a machine of its reader', { skip: WITHOUT_ROOT }, () => {
  const netns = 'gw-test-reader';
  const on = (command: readonly string[]) => run(['nsenter', `--net=/run/netns/${netns}`, '--', ...command]);

  for (const { where, commands, machine } of blocks) {
    if (machine === undefined) continue;
    it(`${where} runs, and the pods of the other machine are found`, async () => {
      await must(['ip', 'netns', 'add', netns]);
      try {
        const links = 'link add eth0 type veth peer name far\nlink set far up\nlink set eth0 up';
        await must(['ip', '-n', netns, '-batch', '-'], { input: `${links}\naddress add ${machine} dev eth0\n` });
        const outcome = await on(['bash', '-euo', 'pipefail', '-c', commands]);
        assert.equal(outcome.code, 0, `${commands}\n${outcome.stderr}`);
        const [, range = '', via = ''] = /route replace (\S+)\.0\/24 via (\S+)/.exec(commands) ?? [];
        const { stdout } = await on(['ip', 'route', 'get', `${range}.7`]);
        assert.match(stdout, new RegExp(`^${range}\\.7 via ${via} dev eth0 src ${machine.split('/')[0]}`));
      } finally {
        await must(['ip', 'netns', 'delete', netns]);
      }
    });
  }
});
