// SPDX-License-Identifier: Apache-2.0

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { sleep } from '../../harness/shell.ts';
import type { TwoNodeMesh } from '../../harness/two-node-mesh.ts';
import { WEB_PORT } from '../shop.ts';
import { type Check, holds } from './check.ts';

/** Lifetime of certificates in the tour; they are renewed at half of it. */
export const CERTIFICATE_SECONDS = 10;

const ROTATIONS = 3;
const POLL_MS = 300;
const TRANSFER_BYTES_PER_SECOND = 2.5 * 1024 * 1024;

interface CertificateRow {
  readonly identity: string;
  readonly certChain: readonly { readonly serialNumber: string }[];
}

async function serialOf(mesh: TwoNodeMesh, letter: 'a' | 'b', account: string): Promise<string | undefined> {
  const certificates = await mesh.ask<CertificateRow[]>(letter, 'certificates');
  return certificates.find((certificate) => certificate.identity.endsWith(`/sa/${account}`))?.certChain[0]
    ?.serialNumber;
}

export const rotation: Check = {
  title: `certificates live ${CERTIFICATE_SECONDS} s and rotate under a running transfer without an error`,
  async run(shop) {
    const { mesh, client, webAddress, file } = shop;
    const rate = TRANSFER_BYTES_PER_SECOND;
    const transfer = client.exec(
      `curl -sS -m 120 --limit-rate ${rate} http://${webAddress}:${WEB_PORT}/file | sha256sum`,
      130_000,
    );
    const begun = performance.now();
    const serials = { client: new Set<string>(), web: new Set<string>() };
    do {
      const [ofClient, ofWeb] = await Promise.all([serialOf(mesh, 'a', 'client'), serialOf(mesh, 'b', 'web')]);
      if (ofClient !== undefined) serials.client.add(ofClient);
      if (ofWeb !== undefined) serials.web.add(ofWeb);
    } while (await Promise.race([transfer.then(() => false), sleep(POLL_MS).then(() => true)]));
    const { stdout, stderr } = await transfer;
    const seconds = (performance.now() - begun) / 1000;
    const expected = createHash('sha256').update(readFileSync(file)).digest('hex');
    holds(stdout.startsWith(expected), `every byte arrived (${stderr.trim()})`);
    const rotations = { client: serials.client.size - 1, web: serials.web.size - 1 };
    holds(
      rotations.client >= ROTATIONS && rotations.web >= ROTATIONS,
      `both certificates were renewed ${ROTATIONS} times (client ${rotations.client}, web ${rotations.web})`,
    );
    return `${(readFileSync(file).length / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s, checksum right; certificates renewed: client ${rotations.client}, web ${rotations.web}`;
  },
};
