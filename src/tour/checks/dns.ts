// SPDX-License-Identifier: Apache-2.0

import { MARKER } from '../shop.ts';
import { type Check, holds } from './check.ts';

const WEB_VIP = '10.96.77.10';
const CART_VIP = '10.96.77.11';

export const dns: Check = {
  title: 'names of Services resolve inside pods through the agent',
  async run({ client, guest }) {
    const resolve = async (name: string) => (await client.exec(`getent ahostsv4 ${name}`)).stdout.split(/\s/)[0];
    const full = await resolve('web.shop.svc.cluster.local');
    holds(full === WEB_VIP, `web.shop.svc.cluster.local is ${WEB_VIP} (it was ${full})`);
    const short = await resolve('cart');
    holds(short === CART_VIP, `cart is ${CART_VIP} (it was ${short})`);
    const visit = await client.exec('curl -sS -m 5 http://web/');
    holds(visit.stdout.includes(MARKER), `http://web/ serves (${visit.stderr.trim()})`);
    const ping = await client.exec('redis-cli -h cart ping');
    holds(ping.stdout.includes('PONG'), `redis-cli -h cart answers (${ping.stderr.trim()})`);
    const across = await guest.exec('curl -sS -m 5 http://web.shop/');
    holds(across.stdout.includes(MARKER), `http://web.shop/ serves from another namespace (${across.stderr.trim()})`);
    return `web is ${full}, cart is ${short}; http://web/, http://web.shop/ and redis-cli -h cart answer`;
  },
};
