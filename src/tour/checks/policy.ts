// SPDX-License-Identifier: Apache-2.0

import type { PodShell } from '../two-node-mesh.ts';
import { type Shop, shopPolicy, WEB_PORT, WEB_SECOND_PORT } from '../shop.ts';
import { type Check, changePolicy, EFFECT_WITHIN_MS, holds, isServed, milliseconds } from './check.ts';

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
  holds(took < EFFECT_WITHIN_MS, `a policy by ${by} takes effect within a second (it took ${milliseconds(took)})`);
  holds(await isServed(shop, inside, insidePort), `the policy by ${by} lets through whom it allows`);
  await changePolicy(shop, file, false, () => isServed(shop, out, outPort));
  return took;
}

/** A download that is under way when a policy comes that denies it. Returns how long it lived after that. */
async function endsLiveConnection(shop: Shop): Promise<number> {
  const download = `curl -sS -m 30 --limit-rate 200k -o /dev/null http://${shop.webAddress}:${WEB_PORT}/file`;
  // The shell's clock starts when the policy is written: the pod tells when curl has ended.
  const running = shop.client.exec(`${download}; code=$?; date +%s%3N; exit $code`, 40_000);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const deniedAt = Date.now();
  shop.mesh.writeManifest('no-client.yaml', shopPolicy('no-client.yaml'));
  const outcome = await running;
  const endedAt = Number(outcome.stdout.trim());
  holds(outcome.code !== 0 && outcome.code !== 28, `the download is ended (curl's status was ${outcome.code})`);
  holds(endedAt > deniedAt, 'the download lived until the policy came');
  await changePolicy(shop, 'no-client.yaml', false, () => isServed(shop, shop.client));
  return endedAt - deniedAt;
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
