// SPDX-License-Identifier: Apache-2.0

import { sleep } from '../../harness/shell.ts';
import type { PodShell } from '../../harness/two-node-mesh.ts';
import { type Shop, shopPolicy, WEB_PORT, WEB_SECOND_PORT } from '../shop.ts';
import { type Check, changePolicy, EFFECT_WITHIN_MS, holds, isServed, milliseconds } from './check.ts';

const DOWNLOAD_BEGINS_MS = 700;
const CURL_TIMED_OUT = 28;

/** One policy, who it turns away, and who it must not. */
interface Case {
  readonly by: string;
  readonly file: string;
  readonly refused: (shop: Shop) => readonly [PodShell, number];
  readonly served: (shop: Shop) => readonly [PodShell, number];
}

const CASES: readonly Case[] = [
  {
    by: 'principal',
    file: 'by-principal.yaml',
    refused: (shop) => [shop.rival, WEB_PORT],
    served: (shop) => [shop.client, WEB_PORT],
  },
  {
    by: 'namespace',
    file: 'by-namespace.yaml',
    refused: (shop) => [shop.guest, WEB_PORT],
    served: (shop) => [shop.client, WEB_PORT],
  },
  {
    by: 'port',
    file: 'by-port.yaml',
    refused: (shop) => [shop.client, WEB_SECOND_PORT],
    served: (shop) => [shop.client, WEB_PORT],
  },
  {
    by: 'source address',
    file: 'by-source-address.yaml',
    refused: (shop) => [shop.client, WEB_PORT],
    served: (shop) => [shop.rival, WEB_PORT],
  },
];

async function hasEffect(shop: Shop, { by, file, refused, served }: Case): Promise<number> {
  const [out, outPort] = refused(shop);
  const [inside, insidePort] = served(shop);
  holds(await isServed(shop, out, outPort), `before the policy by ${by} all are served`);
  const took = await changePolicy(shop, file, true, async () => !(await isServed(shop, out, outPort)));
  try {
    holds(took < EFFECT_WITHIN_MS, `a policy by ${by} takes effect within a second (it took ${milliseconds(took)})`);
    holds(await isServed(shop, inside, insidePort), `the policy by ${by} lets through whom it allows`);
    return took;
  } finally {
    await changePolicy(shop, file, false, () => isServed(shop, out, outPort));
  }
}

/** A download that is under way when a policy comes that denies it. Returns how long it lived after that. */
async function endsLiveConnection(shop: Shop): Promise<number> {
  const download = `curl -sS -m 20 -o /dev/null http://${shop.webAddress}:${WEB_PORT}/slow/file`;
  // The pod itself tells when curl has ended.
  const running = shop.client.exec(`${download}; code=$?; date +%s%3N; exit $code`, 30_000);
  try {
    await sleep(DOWNLOAD_BEGINS_MS);
    const deniedAt = Date.now();
    shop.mesh.writeManifest('no-client.yaml', shopPolicy('no-client.yaml'));
    const outcome = await running;
    const endedAt = Number(outcome.stdout.trim());
    holds(
      outcome.code !== 0 && outcome.code !== CURL_TIMED_OUT,
      `the download is ended (curl's status was ${outcome.code})`,
    );
    holds(endedAt > deniedAt, 'the download lived until the policy came');
    return endedAt - deniedAt;
  } finally {
    await changePolicy(shop, 'no-client.yaml', false, () => isServed(shop, shop.client));
  }
}

export const policy: Check = {
  title: 'AuthorizationPolicy by principal, namespace, port and source address; a change ends a live connection',
  async run(shop) {
    const figures: string[] = [];
    for (const one of CASES) figures.push(`${one.by} ${milliseconds(await hasEffect(shop, one))}`);
    const ended = await endsLiveConnection(shop);
    holds(ended < EFFECT_WITHIN_MS, `a live connection ends within a second (it took ${milliseconds(ended)})`);
    return `in force after: ${figures.join(', ')}; a live download ended after ${milliseconds(ended)}`;
  },
};
