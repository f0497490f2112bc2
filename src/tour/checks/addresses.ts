// SPDX-License-Identifier: Apache-2.0

import { WEB_PORT } from '../shop.ts';
import { type Check, holds } from './check.ts';

export const addresses: Check = {
  title: 'both ends see true addresses',
  async run(shop) {
    const { client, webAddress, cartAddress, clientAddress } = shop;
    // curl reads remote_ip and remote_port with getpeername().
    const visit = await client.exec(
      `curl -sS -m 3 -w 'peer %{remote_ip}:%{remote_port} self %{local_ip}' http://${webAddress}:${WEB_PORT}/`,
    );
    const peer = /peer (\S+) self (\S+)/.exec(visit.stdout);
    holds(
      peer?.[1] === `${webAddress}:${WEB_PORT}`,
      `getpeername() in the client says ${webAddress}:${WEB_PORT} (it said ${peer?.[1] ?? visit.stderr.trim()})`,
    );
    holds(peer[2] === clientAddress, `getsockname() in the client says ${clientAddress} (it said ${peer[2]})`);
    const asked = /asked by (\S+)/.exec(visit.stdout)?.[1];
    holds(asked === clientAddress, `nginx sees ${clientAddress} (it saw ${asked})`);
    const clients = await client.exec(`redis-cli -h ${cartAddress} client list`);
    const seen = / addr=([0-9.]+):/.exec(clients.stdout)?.[1];
    holds(seen === clientAddress, `redis sees ${clientAddress} (it saw ${seen})`);
    return `nginx and redis saw ${asked}; getpeername() in the client is ${peer[1]}`;
  },
};
