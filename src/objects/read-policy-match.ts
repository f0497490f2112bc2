// SPDX-License-Identifier: Apache-2.0

import { parseAddressRange } from '../model/address.ts';
import type { AddressRange, ServiceAccountMatch, StringMatch } from '../model/policy.ts';
import { isPort, type ObjectReader, PORT_RANGE } from './object-reader.ts';
import { shown } from './problem.ts';
import type { AuthorizationPolicyObject, Both, Condition, OperationMatch, SourceMatch } from './security-objects.ts';

type Parse<T> = (text: string) => T | string;

const SERVICE_ACCOUNTS_MAX = 16;
const L7_SOURCE = ['requestPrincipals', 'notRequestPrincipals', 'remoteIpBlocks', 'notRemoteIpBlocks'];
const L7_OPERATION = ['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'];
const L7_KEYS = [
  'remote.ip',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'connection.sni',
];
const L7_KEY_PATTERN =
  /^(request\.headers\[[^[\]]+\]|request\.auth\.claims(\[[^[\]]+\])+|experimental\.envoy\.filters\..+)$/;

const NONE: Both<never> = { in: [], notIn: [] };
const ANY_SOURCE: SourceMatch = {
  principals: NONE,
  namespaces: NONE,
  serviceAccounts: NONE,
  ipBlocks: NONE,
  trustDomains: NONE,
  l7: [],
};

/** Of the policy that is read: what its parts mean depends on it. */
export interface PolicyContext {
  readonly namespace: string;
  readonly action: AuthorizationPolicyObject['action'];
}

/** Reads `from[].source`. */
export function readSource(source: ObjectReader, policy: PolicyContext): SourceMatch {
  if (source.keys().length === 0) source.reject(undefined, 'must set at least one field');
  const given = (...keys: string[]): boolean => keys.some((key) => source.has(key) || source.has(negated(key)));
  if (given('serviceAccounts') && given('principals', 'namespaces')) {
    source.reject('serviceAccounts', 'Cannot set serviceAccounts with namespaces or principals');
  }
  return {
    principals: readPatterns(source, PRINCIPALS, policy),
    namespaces: readPatterns(source, NAMESPACES, policy),
    serviceAccounts: readServiceAccounts(source, policy.namespace),
    ipBlocks: readBoth(source, 'ipBlocks', parseRange),
    trustDomains: readPatterns(source, TRUST_DOMAINS, policy),
    l7: readL7(source, L7_SOURCE),
  };
}

/** Reads `to[].operation`. */
export function readOperation(operation: ObjectReader): OperationMatch {
  if (operation.keys().length === 0) operation.reject(undefined, 'must set at least one field');
  return { ports: readBoth(operation, 'ports', parsePort), l7: readL7(operation, L7_OPERATION) };
}

/** Reads one `when`. A key that is not known rejects the policy: it would otherwise never be asked. */
export function readCondition(when: ObjectReader, policy: PolicyContext): Condition {
  if (!when.has('values') && !when.has('notValues'))
    when.reject('values', 'at least one of values or notValues is required');
  const key = when.requiredString('key');
  switch (key) {
    case 'source.ip':
      return source({ ipBlocks: readValues(when, parseRange) });
    case 'source.namespace':
      return source({ namespaces: readPatterns(when, VALUES, policy) });
    case 'source.principal':
      return source({ principals: readPatterns(when, PRINCIPAL_VALUES, policy) });
    case 'source.trustDomain':
      return source({ trustDomains: readPatterns(when, VALUES, policy) });
    case 'source.serviceAccount':
      return source({ serviceAccounts: readValues(when, serviceAccountParser(policy.namespace)) });
    case 'destination.ip':
      return { on: 'destinationIps', ranges: readValues(when, parseRange) };
    case 'destination.port':
      return { on: 'destinationPorts', ports: readValues(when, parsePort) };
    default:
      if (!L7_KEYS.includes(key) && !L7_KEY_PATTERN.test(key)) when.reject('key', `unknown attribute: "${key}"`);
      readL7(when, ['values', 'notValues']);
      return { on: 'l7', key };
  }
}

function source(part: Partial<SourceMatch>): Condition {
  return { on: 'source', source: { ...ANY_SOURCE, ...part } };
}

function readL7(reader: ObjectReader, keys: readonly string[]): string[] {
  return keys.filter((key) => reader.filledStrings(key).length > 0);
}

function readServiceAccounts(reader: ObjectReader, namespace: string): Both<ServiceAccountMatch> {
  const both = readBoth(reader, 'serviceAccounts', serviceAccountParser(namespace));
  if (both.in.length > SERVICE_ACCOUNTS_MAX) reader.reject('serviceAccounts', `at most ${SERVICE_ACCOUNTS_MAX} values`);
  if (both.notIn.length > SERVICE_ACCOUNTS_MAX)
    reader.reject('notServiceAccounts', `at most ${SERVICE_ACCOUNTS_MAX} values`);
  return both;
}

function readBoth<T extends object | number>(reader: ObjectReader, key: string, parse: Parse<T>): Both<T> {
  return { in: readList(reader, key, parse), notIn: readList(reader, negated(key), parse) };
}

function readValues<T extends object | number>(when: ObjectReader, parse: Parse<T>): Both<T> {
  return { in: readList(when, 'values', parse), notIn: readList(when, 'notValues', parse) };
}

// A parser returns its value, or a text that says why there is none.
function readList<T extends object | number>(reader: ObjectReader, key: string, parse: Parse<T>): T[] {
  const list: T[] = [];
  for (const [index, text] of reader.filledStrings(key).entries()) {
    const parsed = parse(text);
    if (typeof parsed === 'string') reader.reject([key, index], parsed);
    else list.push(parsed);
  }
  return list;
}

function negated(key: string): string {
  return `not${key[0]?.toUpperCase()}${key.slice(1)}`;
}

/** A pair of lists of patterns, and how its texts are to be read. */
interface PatternField {
  readonly keys: readonly [positive: string, negative: string];
  readonly read: (text: string) => StringMatch;
}

// Principals are compared without the scheme; who writes it means the same identity, and Istio would never match it.
const readPrincipal = (text: string): StringMatch =>
  readPattern(text.startsWith('spiffe://') ? text.slice('spiffe://'.length) : text);
const PRINCIPALS: PatternField = { keys: ['principals', 'notPrincipals'], read: readPrincipal };
const PRINCIPAL_VALUES: PatternField = { keys: ['values', 'notValues'], read: readPrincipal };
const NAMESPACES: PatternField = { keys: ['namespaces', 'notNamespaces'], read: readPattern };
const TRUST_DOMAINS: PatternField = { keys: ['trustDomains', 'notTrustDomains'], read: readPattern };
const VALUES: PatternField = { keys: ['values', 'notValues'], read: readPattern };

// A star within is taken literally by Istio, so that the value matches nobody. In an ALLOW that is the closed side, and
// what is served here. A DENY with it would never deny, and what an exception excepts is allowed: those are refused.
function readPatterns(reader: ObjectReader, { keys, read }: PatternField, policy: PolicyContext): Both<StringMatch> {
  const [positive, negative] = keys.map((key) =>
    reader.filledStrings(key).map((text, index) => {
      const match = read(text);
      if (match.kind === 'presence' || !match.value.includes('*')) return match;
      const reason = `a wildcard may only be the first or the last character: "${shown(text)}"`;
      if (policy.action === 'ALLOW' && key === keys[0])
        reader.note([key, index], 'MATCHES_NOBODY', `${reason}: nobody is let in by this value`);
      else reader.reject([key, index], reason);
      return match;
    }),
  );
  return { in: positive ?? [], notIn: negative ?? [] };
}

function readPattern(text: string): StringMatch {
  if (text === '*') return { kind: 'presence' };
  if (text.startsWith('*')) return { kind: 'suffix', value: text.slice(1) };
  return text.endsWith('*') ? { kind: 'prefix', value: text.slice(0, -1) } : { kind: 'exact', value: text };
}

function parseRange(text: string): AddressRange | string {
  return parseAddressRange(text) ?? `not an IP address or CIDR: "${text}"`;
}

function parsePort(text: string): number | string {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return isPort(port) ? port : `${PORT_RANGE}, not "${text}"`;
}

function serviceAccountParser(namespace: string): Parse<ServiceAccountMatch> {
  return (text) => {
    if (text.includes('*')) return `wildcards are not supported here: "${text}"`;
    const parts = text.split('/');
    if (parts.length > 2 || parts.includes('')) return `must be "name" or "namespace/name", not "${text}"`;
    const [first = '', second] = parts;
    return second === undefined ? { namespace, serviceAccount: first } : { namespace: first, serviceAccount: second };
  };
}
