// SPDX-License-Identifier: Apache-2.0

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../src/harness/shell.ts';
import type { TwoNodes } from '../src/harness/two-nodes.ts';
import { ECHO_PORT, SWALLOW_PORT } from './load.ts';

/** Where a proxy pair sits: the client dials node A's port, node B's proxy dials the server pod. */
export interface PeerPlace {
  readonly nodes: TwoNodes;
  readonly serverAddress: string;
  readonly directory: string;
}

/** A proxy that is not ours: the command of each side, and the ports of node A that lead to the two ports of the server. */
export interface Peer {
  readonly row: string;
  readonly clientSide: [string, ...string[]];
  readonly serverSide: [string, ...string[]];
  readonly clientPort: number;
  readonly tlsPort: number;
}

/** Worker threads of each proxy, ours and theirs. */
export const PROXY_THREADS = 2;

// The port that the client side listens on (echo one above), and the TLS port between the nodes.
const PORTS = { haproxy: { client: 8101, tls: 8201 }, nginx: { client: 8111, tls: 8211 } };
const SERVED = [SWALLOW_PORT, ECHO_PORT];

/** Makes a root and one certificate for each side; both sides check the other's, as a mesh does. */
export async function makeCertificates(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const path = (name: string) => join(directory, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await must([
    'openssl',
    'req',
    '-x509',
    ...curve,
    '-days',
    '2',
    '-subj',
    '/CN=bench-root',
    '-keyout',
    path('root.key'),
    '-out',
    path('root.pem'),
  ]);
  for (const side of ['client', 'server']) {
    await must([
      'openssl',
      'req',
      ...curve,
      '-subj',
      `/CN=bench-${side}`,
      '-keyout',
      path(`${side}.key`),
      '-out',
      path(`${side}.csr`),
    ]);
    await must([
      'openssl',
      'x509',
      '-req',
      '-days',
      '2',
      '-in',
      path(`${side}.csr`),
      '-CA',
      path('root.pem'),
      '-CAkey',
      path('root.key'),
      '-CAcreateserial',
      '-out',
      path(`${side}.pem`),
    ]);
    // haproxy wants certificate and key in one file.
    await must(['sh', '-c', `cat '${path(`${side}.pem`)}' '${path(`${side}.key`)}' > '${path(`${side}.both.pem`)}'`]);
  }
}

/** haproxy as a TLS pair: TCP mode, two threads, no logging, TLS 1.3 with AES-128-GCM, client certificates. */
export function haproxyPair(place: PeerPlace): Peer {
  const { nodes, serverAddress, directory } = place;
  const { client, tls } = PORTS.haproxy;
  const file = (name: string) => join(directory, name);
  const head = `global
  nbthread ${PROXY_THREADS}
  maxconn 4000
  tune.bufsize 65536
  tune.ssl.default-dh-param 2048
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
`;
  const clientSide = SERVED.map(
    (_, index) => `listen client${index}
  bind ${nodes.a.address}:${client + index}
  server node-b ${nodes.b.address}:${tls + index} ssl verify required ca-file ${file('root.pem')} crt ${file('client.both.pem')}
`,
  );
  const serverSide = SERVED.map(
    (port, index) => `listen server${index}
  bind ${nodes.b.address}:${tls + index} ssl crt ${file('server.both.pem')} verify required ca-file ${file('root.pem')}
  server application ${serverAddress}:${port}
`,
  );
  writeFileSync(file('haproxy-client.cfg'), head + clientSide.join(''));
  writeFileSync(file('haproxy-server.cfg'), head + serverSide.join(''));
  return {
    row: 'haproxy pair',
    clientSide: ['haproxy', '-db', '-f', file('haproxy-client.cfg')],
    serverSide: ['haproxy', '-db', '-f', file('haproxy-server.cfg')],
    clientPort: client,
    tlsPort: tls,
  };
}

/** nginx (stream) as a TLS pair: two workers, large buffers, TLS 1.3 with AES-128-GCM, client certificates. */
export function nginxPair(place: PeerPlace): Peer {
  const { nodes, serverAddress, directory } = place;
  const { client, tls } = PORTS.nginx;
  const file = (name: string) => join(directory, name);
  const head = (side: string) => `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
worker_processes ${PROXY_THREADS};
worker_rlimit_nofile 20000;
pid ${file(`nginx-${side}.pid`)};
error_log ${file(`nginx-${side}.log`)} error;
daemon off;
events { worker_connections 10000; }
stream {
  proxy_buffer_size 64k;
  tcp_nodelay on;
  proxy_timeout 1h;
`;
  const clientSide = SERVED.map(
    (_, index) => `  server {
    listen ${nodes.a.address}:${client + index} reuseport;
    proxy_pass ${nodes.b.address}:${tls + index};
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    proxy_ssl_verify on;
    proxy_ssl_name bench-server;
    proxy_ssl_trusted_certificate ${file('root.pem')};
    proxy_ssl_certificate ${file('client.pem')};
    proxy_ssl_certificate_key ${file('client.key')};
    proxy_ssl_session_reuse on;
  }
`,
  );
  const serverSide = SERVED.map(
    (port, index) => `  server {
    listen ${nodes.b.address}:${tls + index} ssl reuseport;
    proxy_pass ${serverAddress}:${port};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_certificate ${file('server.pem')};
    ssl_certificate_key ${file('server.key')};
    ssl_verify_client on;
    ssl_client_certificate ${file('root.pem')};
    ssl_session_cache shared:bench:1m;
  }
`,
  );
  writeFileSync(file('nginx-client.conf'), `${head('client')}${clientSide.join('')}}\n`);
  writeFileSync(file('nginx-server.conf'), `${head('server')}${serverSide.join('')}}\n`);
  const command = (side: string): [string, ...string[]] => ['nginx', '-c', file(`nginx-${side}.conf`), '-p', directory];
  return {
    row: 'nginx stream pair',
    clientSide: command('client'),
    serverSide: command('server'),
    clientPort: client,
    tlsPort: tls,
  };
}
