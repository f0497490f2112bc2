// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { claimMachine } from '../../src/tour/claim.ts';
import { run, until } from '../../src/tour/shell.ts';
import { labelledNamespaces, openShop, shopManifests } from '../../src/tour/shop.ts';
import { TwoNodeMesh } from '../../src/tour/two-node-mesh.ts';
import { testFiles } from '../helpers/node-tests.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const root = join(import.meta.dirname, '../..');

/** A block of shell commands in a document, and why it is not run, if it is not. */
interface Block {
  readonly where: string;
  readonly commands: string;
  readonly notRun: string | undefined;
}

const FENCE =
  /(?:<!-- not run by the documents' test: (?<reason>.*?) -->\n)?```(?:sh|bash|shell|console)\n(?<commands>[^]*?)```/g;

function blocksOf(file: string): Block[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(FENCE)].map((match) => ({
    where: `${file}:${text.slice(0, match.index).split('\n').length}`,
    commands: match.groups?.['commands'] ?? '',
    notRun: match.groups?.['reason'],
  }));
}

const documents = testFiles(root, '*.md', 'docs/**/*.md').map((path) => path.slice(root.length + 1));
const blocks = documents.flatMap(blocksOf);

describe('the documents', () => {
  it('show commands', () => assert.ok(blocks.some((block) => block.notRun === undefined)));

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
  let release: () => void;

  before(async () => {
    const claim = await claimMachine('tour');
    release = () => claim.release();
    mesh = await TwoNodeMesh.open('tour', { subnet: 77, agentFlags: ['--keep-pods=false'] }, shopManifests());
    const shop = await openShop(mesh);
    mesh.writeManifest('namespaces.yaml', labelledNamespaces(true));
    await until('the label has taken effect', async () =>
      (await shop.client.exec('curl -sf -m 2 http://web/')).code === 0 ? true : undefined,
    );
  });
  after(async () => {
    const left = await mesh.close();
    release();
    assert.deepEqual(left, []);
  });

  for (const { where, commands, notRun } of blocks) {
    if (notRun !== undefined) continue;
    it(`${where} runs`, async () => {
      const outcome = await run(['bash', '-euo', 'pipefail', '-c', commands], { timeoutMs: 60_000 });
      assert.equal(outcome.code, 0, `${commands}\n${outcome.stdout}\n${outcome.stderr}`);
      // `A || echo refused` succeeds either way: what the document says must be what happened.
      if (commands.includes('|| echo refused')) assert.match(outcome.stdout, /^refused$/m);
    });
  }
});
