// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { hboneSegments, PacketCapture, segmentsWith } from '../../harness/packet-capture.ts';
import { MARKER } from '../shop.ts';
import { type Check, holds, isServed } from './check.ts';

export const plaintext: Check = {
  title: 'before the label, plaintext is visible on the link between the nodes',
  async run(shop) {
    const { mesh, client } = shop;
    const capture = await PacketCapture.open(mesh.nodes.a, join(mesh.names.directory, 'plaintext.pcap'));
    holds(await isServed(shop, client), 'web serves the client');
    const segments = await capture.close();
    const seen = segmentsWith(segments, MARKER).length;
    holds(seen > 0, 'the text that web sent is on the link');
    holds(hboneSegments(segments).length === 0, 'nothing uses port 15008 yet');
    return `the marker is in ${seen} packet(s), port 15008 in none`;
  },
};
