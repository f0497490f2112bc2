// SPDX-License-Identifier: Apache-2.0

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Outcome, until } from '../harness/shell.ts';
import type { PodShell, TwoNodeMesh } from '../harness/two-node-mesh.ts';

/** What web says; a text that a packet capture can look for. */
export const MARKER = 'the-price-of-tea-is-4711';
export const WEB_PORT = 8080;
export const WEB_SECOND_PORT = 8081;
const CART_PORT = 6379;

// One download of the rotation check: long enough at the rate that curl is held to.
const FILE_BYTES = 48 * 1024 * 1024;

/** A small shop of real programs: nginx and redis on node B, people who want something on node A. */
export interface Shop {
  readonly mesh: TwoNodeMesh;
  /** Pods that may try things, by name; `stranger` is outside the mesh, whatever the labels say. */
  readonly client: PodShell;
  readonly rival: PodShell;
  readonly guest: PodShell;
  readonly stranger: PodShell;
  readonly webAddress: string;
  readonly cartAddress: string;
  readonly clientAddress: string;
  /** Where the file that web serves is on this machine, to compare a download with. */
  readonly file: string;
  readonly webPidFile: string;
}

function nginxConfiguration(directory: string): string {
  return `user root;
worker_processes 1;
daemon off;
pid ${join(directory, 'nginx.pid')};
error_log ${join(directory, 'nginx-error.log')};
events { worker_connections 512; }
http {
  access_log off;
  server {
    listen ${WEB_PORT};
    listen [::]:${WEB_PORT};
    listen ${WEB_SECOND_PORT};
    root ${directory};
    location /slow/ {
      alias ${directory}/;
      limit_rate 200k;
    }
    location = / {
      default_type text/plain;
      return 200 "${MARKER}, asked by $remote_addr\\n";
    }
  }
}
`;
}

/** The manifests of the shop as the repository has them. */
export function shopManifests(): Record<string, string> {
  return Object.fromEntries(
    ['namespaces.yaml', 'accounts.yaml', 'services.yaml'].map((file) => [file, readTourFile(`manifests/${file}`)]),
  );
}

/** A policy of the tour. */
export function shopPolicy(file: string, clientAddress = ''): string {
  return readTourFile(`policies/${file}`).replaceAll('CLIENT_ADDRESS', clientAddress);
}

function readTourFile(path: string): string {
  return readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8');
}

/** What makes the pods of a namespace part of the mesh, as it stands in a manifest. */
export const AMBIENT_LABEL = 'istio.io/dataplane-mode: ambient';

/** The namespaces of the shop with or without the mesh's label on those that join. */
export function labelledNamespaces(label: boolean): string {
  const text = readTourFile('manifests/namespaces.yaml');
  if (!label) return text;
  return text.replaceAll(/name: (shop|guests)$/gm, `name: $1\n  labels: { ${AMBIENT_LABEL} }`);
}

/** Starts every program of the shop as a pod and waits until web and cart answer. */
export async function openShop(mesh: TwoNodeMesh): Promise<Shop> {
  const directory = join(mesh.names.directory, 'web');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'file');
  writeFileSync(file, randomBytes(FILE_BYTES));
  writeFileSync(join(directory, 'nginx.conf'), nginxConfiguration(directory));

  mesh.startPod({ node: 'b', namespace: 'shop', name: 'web', serviceAccount: 'web', labels: { app: 'web' } }, [
    'nginx',
    '-c',
    join(directory, 'nginx.conf'),
  ]);
  mesh.startPod({ node: 'b', namespace: 'shop', name: 'cart', serviceAccount: 'cart', labels: { app: 'cart' } }, [
    'redis-server',
    '--port',
    String(CART_PORT),
    '--protected-mode',
    'no',
    '--save',
    '',
    '--dir',
    mesh.names.directory,
  ]);
  const shell = (namespace: string, name: string) =>
    mesh.openShell({ node: 'a', namespace, name, serviceAccount: name });
  const client = shell('shop', 'client');
  const rival = shell('shop', 'rival');
  const guest = shell('guests', 'guest');
  const stranger = shell('outside', 'stranger');

  const webAddress = await podAddress(mesh, 'web');
  const cartAddress = await podAddress(mesh, 'cart');
  const [clientAddress = ''] = await client.addresses();
  const shop: Shop = {
    mesh,
    client,
    rival,
    guest,
    stranger,
    webAddress,
    cartAddress,
    clientAddress,
    file,
    webPidFile: join(directory, 'nginx.pid'),
  };
  await until('web answers', async () => ((await visitWeb(shop, stranger)).code === 0 ? true : undefined));
  await until('cart answers', async () =>
    (await stranger.exec(`redis-cli -h ${cartAddress} ping`)).code === 0 ? true : undefined,
  );
  return shop;
}

/** One request to web by its pod's address; curl's exit status says how it went. */
export function visitWeb(shop: Pick<Shop, 'webAddress'>, who: PodShell, port = WEB_PORT): Promise<Outcome> {
  return who.exec(`curl -sS -m 3 http://${shop.webAddress}:${port}/`);
}

interface WorkloadRow {
  readonly name: string;
  readonly namespace: string;
  readonly workloadIps: readonly string[];
}

function podAddress(mesh: TwoNodeMesh, name: string): Promise<string> {
  return until(`${name} is known to the mesh`, async () => {
    const workloads = await mesh.ask<WorkloadRow[]>('a', 'workloads');
    return workloads
      .find((workload) => workload.namespace === 'shop' && workload.name === name)
      ?.workloadIps.find((address) => address.includes('.'));
  });
}
