// SPDX-License-Identifier: Apache-2.0

/** Every variable of ours begins with this; one that we do not know is a spelling mistake and refused. */
export const VARIABLE_PREFIX = 'GROUNDWIRE_';

// What Kubernetes puts into every container of a namespace that has a Service named groundwire or groundwire-…:
// https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
const OF_A_SERVICE =
  /^GROUNDWIRE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)$/;
const PORT_OF_A_SERVICE = /^GROUNDWIRE_(?:[A-Z0-9_]+_)?PORT$/;

/**
 * Whether a variable is not the user's but tells where a Service of Kubernetes is.
 *
 * `GROUNDWIRE_API_PORT=15000` is a mistake of somebody's, and only `GROUNDWIRE_API_PORT=tcp://10.96.0.9:15000` is not.
 */
export function isServiceLink(name: string, value: string): boolean {
  return OF_A_SERVICE.test(name) || (PORT_OF_A_SERVICE.test(name) && /^(?:tcp|udp|sctp):\/\//.test(value));
}

/** `host:port` of the API server, as Kubernetes tells each container; undefined outside of a pod. */
export function readApiServer(): string | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (host === undefined || host === '' || port === undefined) return undefined;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The variables of this process that are meant for us. This file alone reads `process.env`. */
export function readVariables(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith(VARIABLE_PREFIX) && value !== undefined) found.set(name, value);
  }
  return found;
}
