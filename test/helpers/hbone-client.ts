// SPDX-License-Identifier: Apache-2.0
//
// A client of port 15008 that need not behave. Prints one line: what came of it.
//
//   plaintext ADDRESS                  an HTTP/1 request without TLS
//   handshake ADDRESS DIRECTORY        TLS with the certificate in DIRECTORY: "accepted" or how it was refused
//   garbage ADDRESS DIRECTORY          TLS, then bytes that are no HTTP/2
//   connect ADDRESS DIRECTORY TARGET   CONNECT TARGET: the status
//   get ADDRESS DIRECTORY              an ordinary GET: the status
//
// DIRECTORY holds root.pem, client.pem, client.key.

import { readFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';

const HBONE_PORT = 15008;
const DEADLINE_MS = 8000;

const [mode = '', address = '', directory = '', target = ''] = process.argv.slice(2);

function report(text: string): never {
  process.stdout.write(`${text}\n`);
  process.exit(0);
}

function openTls(): TLSSocket {
  const read = (name: string) => readFileSync(join(directory, name));
  return connectTls({
    host: address,
    port: HBONE_PORT,
    ca: read('root.pem'),
    cert: read('client.pem'),
    key: read('client.key'),
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    // The names in a mesh are SPIFFE IDs; here only the client is on trial.
    checkServerIdentity: () => undefined,
  });
}

const describe = (error: NodeJS.ErrnoException) => `refused: ${error.code ?? error.message}`;
setTimeout(() => report('no answer'), DEADLINE_MS);

if (mode === 'plaintext') {
  const socket = connectTcp(HBONE_PORT, address, () => socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n'));
  // A TLS alert may come first; what counts is that the connection is ended and nothing else is said.
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])));
  socket.on('error', (error) => report(describe(error)));
  socket.on('close', () => report(received.includes('HTTP/1.1 2') ? 'served' : 'refused: closed'));
} else {
  const socket = openTls();
  socket.on('error', (error) => report(describe(error)));
  socket.on('close', () => report('refused: closed'));
  // TLS 1.3: a server refuses the client's certificate after the client thinks that all is well.
  if (mode === 'handshake') socket.on('secureConnect', () => setTimeout(() => report('accepted'), 700));
  if (mode === 'garbage') socket.on('secureConnect', () => socket.resume().write(Buffer.alloc(4096, 0xa5)));
  if (mode === 'connect' || mode === 'get') {
    socket.on('secureConnect', () => {
      const session = connectHttp2(`https://${address}:${HBONE_PORT}`, { createConnection: () => socket });
      session.on('error', (error) => report(describe(error)));
      const headers =
        mode === 'connect' ? { ':method': 'CONNECT', ':authority': target } : { ':method': 'GET', ':path': '/' };
      const stream = session.request(headers, { endStream: false });
      stream.on('response', (response) => report(`status ${response[':status']}`));
      stream.on('error', (error) => report(describe(error)));
    });
  }
}
