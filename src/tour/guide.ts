// SPDX-License-Identifier: Apache-2.0

import { TwoNodeMesh } from '../harness/two-node-mesh.ts';
import { errorText } from '../model/error-text.ts';
import { addresses } from './checks/addresses.ts';
import { capture } from './checks/capture.ts';
import type { Check } from './checks/check.ts';
import { dns } from './checks/dns.ts';
import { plaintext } from './checks/plaintext.ts';
import { policy } from './checks/policy.ts';
import { Release } from './checks/release.ts';
import { CERTIFICATE_SECONDS, rotation } from './checks/rotation.ts';
import { strict } from './checks/strict.ts';
import { openShop, type Shop, shopManifests } from './shop.ts';

const SUBNET = 77;

/** What a visitor does with the mesh after the tour, until `stopped`. */
export type Stay = (shop: Shop, stopped: AbortSignal, say: (text: string) => void) => Promise<void>;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The eight checks in order; the last one needs to see the pods before the label. */
function checksInOrder(release: Release): readonly Check[] {
  return [plaintext, capture, addresses, strict, policy, rotation, dns, release];
}

/** What is gone may be why a check did not hold, or why nothing came up. */
function sayEnds(mesh: TwoNodeMesh): void {
  for (const end of mesh.newEnds()) say(`            ${end}`);
}

async function runCheck(number: number, check: Check, shop: Shop): Promise<boolean> {
  try {
    const figure = await check.run(shop);
    say(`ok      (${number}) ${check.title}\n            ${figure}`);
    return true;
  } catch (error) {
    say(`FAILED  (${number}) ${check.title}\n            ${errorText(error)}`);
    return false;
  }
}

/**
 * Brings the two nodes and the shop up, runs the checks, lets the visitor stay, and takes everything away.
 *
 * Returns the exit status: 0 only if every check held and nothing was left behind.
 */
export async function takeTour(stay?: Stay): Promise<number> {
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
  // Nobody reads on: a terminal that closed, or a pipe.
  process.stdout.on('error', stop);
  say('bringing up two nodes, a control plane and an agent on each');
  const mesh = await TwoNodeMesh.open(
    'tour',
    {
      subnet: SUBNET,
      controlFlags: ['--certificate-ttl', `${CERTIFICATE_SECONDS}s`],
      agentFlags: ['--keep-pods=false'],
    },
    shopManifests(),
  );
  let held = false;
  try {
    say('starting the shop: nginx and redis on node tour-b; client, rival, guest and stranger on node tour-a');
    const shop = await openShop(mesh);
    const release = new Release();
    await release.remember(shop);
    held = true;
    for (const [index, check] of checksInOrder(release).entries()) {
      if (stopped.signal.aborted) return 130;
      held = (await runCheck(index + 1, check, shop)) && held;
      sayEnds(mesh);
    }
    if (stay !== undefined && !stopped.signal.aborted) await stay(shop, stopped.signal, say);
  } finally {
    sayEnds(mesh);
    if (!held) say(`the logs of the control plane, the agents and the pods are kept in ${mesh.saveLogs()}`);
    const left = await mesh.close();
    say(
      left.length === 0
        ? 'cleaned up: no namespace, link, cgroup, pin, process or file is left'
        : `left behind: ${left.join(', ')}`,
    );
    held &&= left.length === 0;
    process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', stop);
    process.stdout.off('error', stop);
  }
  return held ? 0 : 1;
}
