// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { hboneSegments, PacketCapture, segmentsWith } from '../../harness/packet-capture.ts';
import { sleep, until } from '../../harness/shell.ts';
import type { PodShell } from '../../harness/two-node-mesh.ts';
import { labelledNamespaces, MARKER, type Shop } from '../shop.ts';
import { type Check, holds, isServed, milliseconds } from './check.ts';

const PATIENCE_MS = 15_000;

/** All that capture may change in a pod's network: rules, routes, listeners, settings. */
async function describeNetwork(pod: PodShell): Promise<string> {
  const { stdout } = await pod.exec(
    'ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ss -Hltun; cat /proc/sys/net/ipv4/tcp_fwmark_accept',
  );
  // The kernel adds the link-local address on its own, a second or two after a pod has started.
  return stdout.replaceAll(/^.*\bfe80::.*\n/gm, '');
}

/** Lines that came (+) and went (-). */
function difference(before: string, now: string): string {
  const [old, current] = [before.split('\n'), now.split('\n')];
  const came = current.filter((line) => !old.includes(line)).map((line) => `+ ${line}`);
  const gone = old.filter((line) => !current.includes(line)).map((line) => `- ${line}`);
  return [...came, ...gone].join('; ');
}

/** Removing the label gives the pods back. Made with what the pods' network was before the label. */
export class Release implements Check {
  readonly title = 'without the label the pods are given back, and nothing stays behind in them';
  #before = '';

  /** To be called before the label is set. */
  async remember(shop: Shop): Promise<void> {
    this.#before = await describeNetwork(shop.client);
  }

  async run(shop: Shop): Promise<string> {
    const { mesh, client } = shop;
    const captured = await describeNetwork(client);
    holds(captured !== this.#before, 'a captured pod has rules that it did not have before');
    const begun = performance.now();
    mesh.writeManifest('namespaces.yaml', labelledNamespaces(false));
    let differs = '';
    await until(
      'the client is given back',
      async () => {
        differs = difference(this.#before, await describeNetwork(client));
        return differs === '' ? true : undefined;
      },
      PATIENCE_MS,
    ).catch((cause: unknown) => {
      throw new Error(`does not hold: the client's network is as it was before the label; it differs in ${differs}`, {
        cause,
      });
    });
    const took = performance.now() - begun;
    // web is given back by the other agent; it has until the same moment and a grace.
    await sleep(1000);
    const link = await PacketCapture.open(mesh.nodes.a, join(mesh.names.directory, 'release.pcap'));
    for (let count = 0; count < 5; count += 1) holds(await isServed(shop, client), 'web serves the client as before');
    const segments = await link.close();
    holds(hboneSegments(segments).length === 0, 'nothing uses port 15008 any more');
    const plain = segmentsWith(segments, MARKER).length;
    holds(plain >= 5, 'the text that web sends is on the link again');
    return `given back after ${milliseconds(took)}: rules, routes, listeners and settings as before; plaintext again in ${plain} packets`;
  }
}
