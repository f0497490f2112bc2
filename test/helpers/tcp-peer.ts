// SPDX-License-Identifier: Apache-2.0
//
// Both ends of the connections that the mesh tests make, as programs that run inside pods.
//
//   serve PORT                      PORT counts until the FIN, then answers the count and closes
//                                   PORT+1 resets the connection at the first byte
//                                   PORT+2 echoes, and prints how each connection ended
//                                   PORT+3 says who called: address, space, port
//                                   PORT+4 reads nothing for a second, and prints what came and how it ended
//                                   PORT+5 reads nothing, ever
//   flood ADDRESS PORT COUNT        COUNT connections, written to without end; prints "COUNT full" once none takes more
//   send ADDRESS PORT BYTES         sends BYTES and a FIN, and waits for nothing
//   half-close ADDRESS PORT BYTES   sends BYTES and a FIN, prints the answer
//   await-end ADDRESS PORT          sends a byte, prints how the connection ended
//   reset ADDRESS PORT              sends a byte, reads its echo, resets
//   hold ADDRESS PORT               prints "open" once a byte came back, stays, prints how the connection ended
//   ask ADDRESS PORT                sends a byte, prints all that came until the end

import { connect, createServer, type Socket } from 'node:net';

/** "end" after a FIN, the error's code otherwise. */
function howItEnds(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('end'));
    socket.once('close', () => resolve('closed'));
  });
}

function serve(port: number): void {
  const options = { allowHalfOpen: true };
  createServer(options, (socket) => {
    let count = 0;
    socket.on('data', (chunk) => (count += chunk.length));
    socket.on('end', () => socket.end(String(count)));
    socket.on('error', () => {});
  }).listen(port, '::');
  createServer(options, (socket) => {
    socket.on('data', () => socket.resetAndDestroy());
    socket.on('error', () => {});
  }).listen(port + 1, '::');
  createServer((socket) => {
    void howItEnds(socket).then((how) => process.stdout.write(`ended: ${how}\n`));
    socket.pipe(socket);
  }).listen(port + 2, '::');
  createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${socket.remoteAddress?.replace('::ffff:', '')} ${socket.remotePort}`);
  }).listen(port + 3, '::');
  createServer({ pauseOnConnect: true }, (socket) => {
    let count = 0;
    socket.on('data', (chunk) => (count += chunk.length));
    void howItEnds(socket).then((how) => process.stdout.write(`late: ${count} ${how}\n`));
    setTimeout(() => socket.resume(), 1000);
  }).listen(port + 4, '::');
  createServer({ pauseOnConnect: true }, (socket) => socket.on('error', () => {})).listen(port + 5, '::');
}

/** Ends with the process. */
function flood(address: string, port: number, count: number): void {
  const chunk = Buffer.alloc(65_536, 0x61);
  let idleSince = performance.now();
  for (let opened = 0; opened < count; opened += 1) {
    const socket = connect({ host: address, port });
    const write = () => {
      idleSince = performance.now();
      while (socket.write(chunk));
    };
    socket.on('connect', write);
    socket.on('drain', write);
    socket.on('error', (error) => process.stdout.write(`${error.message}\n`));
  }
  const timer = setInterval(() => {
    if (performance.now() - idleSince < 2000) return;
    process.stdout.write(`${count} full\n`);
    clearInterval(timer);
  }, 100);
}

async function firstData(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before a byte came')));
  });
}

async function client(mode: string, address: string, port: number, bytes: number): Promise<string> {
  const socket = connect({ host: address, port, allowHalfOpen: true });
  socket.setNoDelay(true);
  if (mode === 'send') {
    await new Promise<void>((resolve) => socket.end(Buffer.alloc(bytes, 0x61), resolve));
    process.exit(0);
  }
  if (mode === 'half-close') {
    socket.end(Buffer.alloc(bytes, 0x61));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }
  if (mode === 'ask') {
    socket.write('?');
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    socket.destroy();
    return Buffer.concat(chunks).toString();
  }
  const ended = howItEnds(socket);
  socket.write('x');
  if (mode === 'await-end') {
    socket.resume();
    return ended;
  }
  await firstData(socket);
  if (mode === 'reset') {
    socket.resetAndDestroy();
    return 'reset';
  }
  process.stdout.write('open\n');
  socket.resume();
  const how = await ended;
  socket.destroy();
  return how;
}

const [mode = '', first = '', second = '', third = '0'] = process.argv.slice(2);
if (mode === 'serve') serve(Number(first));
else if (mode === 'flood') flood(first, Number(second), Number(third));
else {
  client(mode, first, Number(second), Number(third)).then(
    (text) => process.stdout.write(`${text}\n`),
    (error: unknown) => {
      process.stdout.write(`${(error as NodeJS.ErrnoException).code ?? String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
