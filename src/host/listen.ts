// SPDX-License-Identifier: Apache-2.0

import type { Server } from 'node:net';

/** Where a server listens: an address, or a socket file. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * Listens; rejects with the system's error.
 *
 * `::` is every address of both families, and of IPv4 alone where the kernel has no IPv6.
 */
export async function listen(server: Server, where: ListenAddress): Promise<void> {
  try {
    await listenOnce(server, where);
  } catch (error) {
    const isWithoutIpv6 = (error as NodeJS.ErrnoException).code === 'EAFNOSUPPORT';
    if (!isWithoutIpv6 || 'path' in where || where.host !== '::') throw error;
    await listenOnce(server, { ...where, host: '0.0.0.0' });
  }
}

async function listenOnce(server: Server, where: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
