// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginsTlsRecord, hboneSegments, PacketCapture, segmentsWith } from '../../harness/packet-capture.ts';
import { sleep } from '../../harness/shell.ts';
import { labelledNamespaces, MARKER } from '../shop.ts';
import { type Check, EFFECT_WITHIN_MS, holds, isServed, milliseconds } from './check.ts';

// How long requests go on after the label, and how many follow once it must have taken effect.
const WATCH_MS = 2000;
const REQUESTS_AFTER = 20;

export const capture: Check = {
  title: 'the label captures new connections within a second, and no pod restarts',
  async run(shop) {
    const { mesh, client } = shop;
    const processes = async () =>
      `${(await client.exec('echo $$')).stdout.trim()} ${readFileSync(shop.webPidFile, 'utf8').trim()}`;
    const processesBefore = await processes();
    const link = await PacketCapture.open(mesh.nodes.a, join(mesh.names.directory, 'capture.pcap'));
    const labelledAt = Date.now();
    mesh.writeManifest('namespaces.yaml', labelledNamespaces(true));
    let failed = 0;
    while (Date.now() - labelledAt < WATCH_MS) {
      if (!(await isServed(shop, client))) failed += 1;
      await sleep(20);
    }
    const settledAt = Date.now();
    for (let count = 0; count < REQUESTS_AFTER; count += 1) if (!(await isServed(shop, client))) failed += 1;
    const segments = await link.close();
    const tunnel = hboneSegments(segments);
    const plain = segmentsWith(segments, MARKER);
    const lastPlainMs = Math.max(0, ...plain.map((segment) => segment.atMs - labelledAt));
    const [first] = tunnel;
    holds(failed === 0, `no request fails (${failed} did)`);
    holds(first !== undefined && beginsTlsRecord(first), 'TLS begins on port 15008');
    holds(
      first.atMs - labelledAt < EFFECT_WITHIN_MS,
      `the first tunnel comes within a second (it took ${milliseconds(first.atMs - labelledAt)})`,
    );
    holds(lastPlainMs < EFFECT_WITHIN_MS, `no plaintext after a second (the last was at ${milliseconds(lastPlainMs)})`);
    const after = tunnel.filter((segment) => segment.atMs > settledAt);
    const records = after.filter(beginsTlsRecord).length;
    holds(records > 0, 'later requests travel as TLS records on port 15008');
    holds((await processes()) === processesBefore, 'client and web are the processes that they were');
    return `captured after ${milliseconds(first.atMs - labelledAt)}; then ${REQUESTS_AFTER} requests: ${records} TLS packets on 15008, the marker in 0`;
  },
};
