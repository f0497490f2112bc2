// SPDX-License-Identifier: Apache-2.0

import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { AccessError } from './access-error.ts';

/** Where Kubernetes puts the account of a pod, by its own convention. */
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/** How an API server is reached, and as whom. */
export interface ApiAccess {
  readonly server: URL;
  /** PEM; absent: the roots of the machine. */
  readonly ca?: string;
  /** Of a client certificate, PEM. */
  readonly certificate?: string;
  readonly key?: string;
  /** Asked before each request: the token of a pod is replaced on disk before it ends. */
  readonly token?: () => Promise<string>;
}

/**
 * The access of the pod that this process runs in.
 *
 * `server` is `host:port` as Kubernetes' variables say. Throws `AccessError` outside of a pod.
 */
export async function inClusterAccess(
  server: string | undefined,
  directory: string = SERVICE_ACCOUNT_DIRECTORY,
): Promise<ApiAccess> {
  if (server === undefined) {
    throw new AccessError('this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set): name a --kubeconfig');
  }
  const tokenFile = join(directory, 'token');
  const token = async (): Promise<string> => (await read(tokenFile, 'the token of the pod')).trim();
  await token();
  const ca = await read(join(directory, 'ca.crt'), "the cluster's root certificate");
  return { server: new URL(`https://${server}`), ca, token };
}

/**
 * The access that the current context of a kubeconfig names: a token or a client certificate, in the file or beside it.
 *
 * Throws `AccessError` with the path and what is wrong. What needs another program (`exec`, `auth-provider`) is refused:
 * a control plane has an account of its own.
 */
export async function kubeconfigAccess(path: string): Promise<ApiAccess> {
  const root = parseKubeconfig(await read(path, 'the kubeconfig'), path);
  const context = named(root, 'contexts', 'context', text(root, 'current-context'), path);
  const cluster = named(root, 'clusters', 'cluster', text(context, 'cluster'), path);
  const user = named(root, 'users', 'user', text(context, 'user'), path);
  for (const way of ['exec', 'auth-provider', 'username']) {
    if (user[way] !== undefined)
      throw new AccessError(`${path}: the user logs in by ${way}, which is not served: use a token or a certificate`);
  }
  if (cluster['insecure-skip-tls-verify'] === true)
    throw new AccessError(`${path}: insecure-skip-tls-verify is not served: name the certificate-authority`);
  const server = text(cluster, 'server') ?? '';
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol))
    throw new AccessError(`${path}: the cluster's server is not a URL: ${server}`);
  const data = (of: Mapping, key: string): Promise<string | undefined> => inlineOrFile(of, key, dirname(resolve(path)));
  const [ca, certificate, key] = await Promise.all([
    data(cluster, 'certificate-authority'),
    data(user, 'client-certificate'),
    data(user, 'client-key'),
  ]);
  return {
    server: new URL(server),
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key }),
    ...tokenOf(user, dirname(resolve(path))),
  };
}

/** The access that a kubeconfig names, else that of the pod that this process runs in. Throws `AccessError`. */
export function apiAccess(kubeconfig: string | undefined, inClusterServer: string | undefined): Promise<ApiAccess> {
  return kubeconfig === undefined ? inClusterAccess(inClusterServer) : kubeconfigAccess(kubeconfig);
}

type Mapping = Readonly<Record<string, unknown>>;

function parseKubeconfig(content: string, path: string): Mapping {
  try {
    const value: unknown = parse(content);
    if (isMapping(value)) return value;
  } catch (cause) {
    throw new AccessError(`${path} is not YAML: ${(cause as Error).message}`, { cause });
  }
  throw new AccessError(`${path} is no kubeconfig: it holds no mapping`);
}

/** The entry of that name in one of the lists of a kubeconfig. */
function named(root: Mapping, list: string, field: string, name: string | undefined, path: string): Mapping {
  const entries = root[list];
  const found = (Array.isArray(entries) ? entries : []).find((entry) => isMapping(entry) && entry['name'] === name);
  const value: unknown = isMapping(found) ? found[field] : undefined;
  if (name !== undefined && isMapping(value)) return value;
  throw new AccessError(`${path}: ${list} has no ${name ?? 'entry, for none is named'}`);
}

function tokenOf(user: Mapping, directory: string): Pick<ApiAccess, 'token'> {
  const inline = text(user, 'token');
  const file = text(user, 'tokenFile');
  if (file !== undefined) return { token: async () => (await read(resolve(directory, file), 'the token file')).trim() };
  return inline === undefined ? {} : { token: () => Promise.resolve(inline) };
}

async function inlineOrFile(of: Mapping, key: string, directory: string): Promise<string | undefined> {
  const inline = text(of, `${key}-data`);
  if (inline !== undefined) return Buffer.from(inline, 'base64').toString('utf8');
  const file = text(of, key);
  return file === undefined ? undefined : read(resolve(directory, file), key);
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new AccessError(`${what} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function text(of: Mapping, key: string): string | undefined {
  const value = of[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
