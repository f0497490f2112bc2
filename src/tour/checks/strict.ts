// SPDX-License-Identifier: Apache-2.0

import { type Check, changePolicy, EFFECT_WITHIN_MS, holds, isServed, milliseconds } from './check.ts';

export const strict: Check = {
  title: 'PeerAuthentication STRICT: refused from outside the mesh, served within',
  async run(shop) {
    holds(await isServed(shop, shop.stranger), 'without it a pod outside the mesh is served');
    const took = await changePolicy(shop, 'strict.yaml', true, async () => !(await isServed(shop, shop.stranger)));
    holds(took < EFFECT_WITHIN_MS, `it takes effect within a second (it took ${milliseconds(took)})`);
    let refused = 0;
    for (let count = 0; count < 5; count += 1) if (!(await isServed(shop, shop.stranger))) refused += 1;
    holds(refused === 5, `every plaintext request is refused (${refused} of 5 were)`);
    holds(await isServed(shop, shop.client), 'a pod of the mesh is served');
    await changePolicy(shop, 'strict.yaml', false, () => isServed(shop, shop.stranger));
    return `in force after ${milliseconds(took)}; outside: 5 of 5 refused, meshed: served`;
  },
};
