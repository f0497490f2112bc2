// SPDX-License-Identifier: Apache-2.0

import { createConnection, createServer, type Server } from 'node:net';

/** The right to use one set of names on this machine. */
export interface Claim {
  release(): void;
}

/**
 * Claims the names of `what` (namespaces, addresses, directories) for this process.
 *
 * The claim is an abstract socket: the kernel takes it back when the process dies, however it dies, so there is no
 * stale lock file to explain. Whoever connects is told who holds it.
 * Throws, naming the holder, when another process has it.
 */
export async function claimMachine(what: string): Promise<Claim> {
  const path = `\0groundwire-${what}`;
  const holder = `process ${process.pid}, started ${new Date().toISOString()}`;
  const server: Server = createServer((socket) => socket.on('error', () => {}).end(holder));
  const taken = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(true) : reject(error),
    );
    server.listen(path, () => resolve(false));
  });
  if (taken) {
    throw new Error(
      `groundwire ${what} is already running on this machine (${await askHolder(path)}). Wait for it to end, or stop it with Ctrl-C.`,
    );
  }
  server.unref();
  return { release: () => void server.close() };
}

function askHolder(path: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = createConnection(path);
    socket.setTimeout(1000, () => socket.destroy());
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text || 'it does not say which'));
  });
}
