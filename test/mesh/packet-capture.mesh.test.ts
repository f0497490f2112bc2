// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PacketCapture, segmentsWith } from '../../src/harness/packet-capture.ts';
import { run, sleep, start, until } from '../../src/harness/shell.ts';
import { closeTwoNodes, describeTwoNodes, onNode, openTwoNodes } from '../../src/harness/two-nodes.ts';
import { PEER_PORTS, peer, WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const TEXT = 'said-just-before-the-end';

test('a capture holds all that was on the link, however far behind tcpdump is when it is closed', {
  skip: WITHOUT_ROOT,
}, async (t) => {
  const nodes = describeTwoNodes('pcap', 178);
  const { a, b } = nodes;
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-pcap-'));
  t.after(async () => {
    await closeTwoNodes(nodes);
    rmSync(directory, { recursive: true });
  });
  await closeTwoNodes(nodes);
  await openTwoNodes(nodes);
  const server = start(onNode(b, peer('serve', PEER_PORTS.count)), join(directory, 'server.log'));
  t.after(() => server.stop());
  // The answer is no HTTP, which is all the same to a capture.
  const speak = (text: string) =>
    run(onNode(a, ['curl', '-sS', '-m', '5', `http://${b.address}:${PEER_PORTS.echo}/${text}`]));
  await until('the server answers', async () => ((await speak('first')).code === 1 ? true : undefined));

  const file = join(directory, 'link.pcap');
  const capture = await PacketCapture.open(a, file);
  const tcpdump = processWith(file);
  process.kill(tcpdump, 'SIGSTOP');
  await speak(TEXT);
  const closing = capture.close();
  await sleep(1000);
  process.kill(tcpdump, 'SIGCONT');
  assert.equal(segmentsWith(await closing, TEXT).length, 2, 'what was said, and its echo');
});

/** The one process that has this among its arguments. */
function processWith(argument: string): number {
  const found = readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').includes(argument);
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
  assert.equal(found.length, 1);
  return Number(found[0]);
}
