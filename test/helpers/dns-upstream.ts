// SPDX-License-Identifier: Apache-2.0
//
// dns-upstream ADDRESS: a name server for the tests of forwarding, over UDP and TCP. It knows one name, and one more whose
// address is that of the client who asks.

import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { decode, encode, type Packet } from 'dns-packet';

const NAME = 'upstream.example';
const ADDRESS = '192.0.2.53';
const CLIENT_NAME = 'whoami.example';
const PORT = 53;

const [listen = ''] = process.argv.slice(2);

function answer(message: Buffer, client: string): Buffer {
  const query = decode(message);
  const question = query.questions?.[0];
  const known = { [NAME]: ADDRESS, [CLIENT_NAME]: client }[question?.name.toLowerCase() ?? ''];
  const reply: Packet = {
    id: query.id ?? 0,
    type: 'response',
    // Recursion available; NXDOMAIN (3) for every other name.
    flags: 0x0180 | (known === undefined ? 3 : 0),
    questions: query.questions ?? [],
    answers:
      known !== undefined && question?.type === 'A' ? [{ name: question.name, type: 'A', ttl: 5, data: known }] : [],
  };
  return encode(reply);
}

const udp = createSocket('udp4');
udp.on('message', (message, from) => udp.send(answer(message, from.address), from.port, from.address));
udp.bind(PORT, listen, () => process.stdout.write('listening\n'));

createServer((socket) => {
  let received = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    const reply = answer(received.subarray(2, 2 + received.readUInt16BE(0)), socket.remoteAddress ?? '');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(reply.length);
    socket.end(Buffer.concat([length, reply]));
  });
}).listen(PORT, listen);
