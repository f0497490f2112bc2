// SPDX-License-Identifier: Apache-2.0

import { isIPv6 } from 'node:net';
import { resolve } from 'node:path';

import { formatSocketAddress, isLoopback, parseAddress, parseAddressRange } from '../model/address.ts';
import { wrongWithKey, wrongWithLabelValue, wrongWithName, wrongWithNamespace } from '../model/kubernetes-name.ts';

/** What a text means, or why it means nothing. */
export type Parsed<T> = { readonly value: T } | { readonly reason: string };

/** How a setting's text becomes a value. */
export interface ValueType<T> {
  /** What the value is, as help and docs print it: `DURATION`, `HOST:PORT`. */
  readonly placeholder: string;
  /** The values that are accepted, in words; "" when the placeholder says it all. */
  readonly range: string;
  /** A switch may stand alone on the command line and then means `true`. */
  readonly isSwitch?: boolean;
  /** May be given several times; each occurrence is one item. */
  readonly repeatable?: boolean;
  parse(texts: readonly string[]): Parsed<T>;
  /** Writes a value as `parse` reads it. */
  format(value: T): string;
}

function single<T>(
  placeholder: string,
  range: string,
  parse: (text: string) => Parsed<T>,
  format: (value: T) => string = String,
): ValueType<T> {
  return { placeholder, range, parse: (texts) => parse(texts[0] ?? ''), format };
}

const DURATION_UNITS_MS = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
} as const;
const SIZE_UNITS = { B: 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 } as const;

function parseQuantity(text: string, units: Readonly<Record<string, number>>, example: string): Parsed<number> {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(text);
  if (match === null) return { reason: `is not a number with a unit, like ${example}` };
  const factor = units[match[2] ?? ''];
  if (factor === undefined) {
    return {
      reason: `needs one of the units ${Object.keys(units).join(', ')}, like ${example}`,
    };
  }
  return { value: Math.round(Number(match[1]) * factor) };
}

/** In the greatest unit of which it is a whole number. */
function formatQuantity(value: number, units: Readonly<Record<string, number>>): string {
  const [smallest = ''] = Object.keys(units);
  const [unit, factor] = Object.entries(units).findLast(([, one]) => value >= one && value % one === 0) ?? [
    smallest,
    1,
  ];
  return `${value / factor}${unit}`;
}

/** Parses `250ms`, `5s`, `1.5h`; a unit is demanded because a bare number has been read as both seconds and milliseconds. */
export function parseDurationMs(text: string): Parsed<number> {
  return parseQuantity(text, DURATION_UNITS_MS, '5s');
}

/** Parses `64Ki`, `16Mi`, `512B`. */
export function parseBytes(text: string): Parsed<number> {
  return parseQuantity(text, SIZE_UNITS, '64Ki');
}

/** Parses `HOST:PORT` or `[V6]:PORT`. */
export function parseHostPort(text: string): Parsed<{ readonly host: string; readonly port: number }> {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null)
    return {
      reason: 'is not HOST:PORT (an IPv6 address goes in brackets: [fd00::1]:15012)',
    };
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  if (match[1] !== undefined && !isIPv6(host))
    return { reason: `has ${host} in brackets, which is not an IPv6 address` };
  if (port > 65_535) return { reason: `has port ${port}; the greatest is 65535` };
  return { value: { host, port } };
}

function formatHostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return formatSocketAddress({ address: host, port });
}

/** Parses `10.244.0.0/16` or `fd00::/64` into its canonical text, host bits cleared. */
export function parseCidr(text: string): Parsed<string> {
  const range = text.includes('/') ? parseAddressRange(text) : undefined;
  if (range === undefined) return { reason: 'is not ADDRESS/LENGTH, like 10.244.1.0/24' };
  return { value: `${range.address}/${range.prefixLength}` };
}

function within(min: number, max: number, value: Parsed<number>, range: string): Parsed<number> {
  if ('reason' in value || (value.value >= min && value.value <= max)) return value;
  return { reason: `is out of range (${range})` };
}

export function duration(min: string, max: string): ValueType<number> {
  const range = `${min} to ${max}`;
  const bound = (text: string): number => mustParse(parseDurationMs(text));
  return single(
    'DURATION',
    range,
    (text) => within(bound(min), bound(max), parseDurationMs(text), range),
    (value) => formatQuantity(value, DURATION_UNITS_MS),
  );
}

export function bytes(min: string, max: string): ValueType<number> {
  const range = `${min} to ${max}`;
  const bound = (text: string): number => mustParse(parseBytes(text));
  return single(
    'SIZE',
    range,
    (text) => within(bound(min), bound(max), parseBytes(text), range),
    (value) => formatQuantity(value, SIZE_UNITS),
  );
}

export function integer(min: number, max: number): ValueType<number> {
  const range = `${min} to ${max}`;
  return single('NUMBER', range, (text) =>
    /^-?\d{1,15}$/.test(text) ? within(min, max, { value: Number(text) }, range) : { reason: 'is not a whole number' },
  );
}

export function oneOf<const T extends string>(...values: readonly T[]): ValueType<T> {
  const range = values.join(' | ');
  return single(values.join('|'), '', (text) => {
    const value = values.find((candidate) => candidate === text);
    return value === undefined ? { reason: `is none of ${range}` } : { value };
  });
}

/** `--flag`, `--flag=true` or `--flag=false`. */
export function onOff(): ValueType<boolean> {
  return {
    placeholder: 'true|false',
    range: '',
    isSwitch: true,
    parse: ([text]) =>
      text === 'true' || text === 'false' ? { value: text === 'true' } : { reason: 'is neither true nor false' },
    format: String,
  };
}

export function hostPort(placeholder = 'HOST:PORT'): ValueType<{
  readonly host: string;
  readonly port: number;
}> {
  return single(placeholder, '', parseHostPort, formatHostPort);
}

/** Where only this machine can reach it. */
export function loopbackHostPort(): ReturnType<typeof hostPort> {
  return single(
    'HOST:PORT',
    'on a loopback address',
    (text) => {
      const parsed = parseHostPort(text);
      if ('reason' in parsed || parsed.value.host === 'localhost') return parsed;
      if (isLoopback(parseAddress(parsed.value.host) ?? '')) return parsed;
      return {
        reason:
          'is not on a loopback address, and who reaches it sees all that the agent knows; name a port of 127.0.0.1 or [::1], and forward it to whoever needs it',
      };
    },
    formatHostPort,
  );
}

/** Ranges to give addresses of, one a family at most. */
export function rangePerFamily(): ValueType<readonly string[]> {
  const list = listOf((text) => unlessTooLong(parseCidr(text)), 'CIDR');
  return {
    ...list,
    range: `${RANGE_V4}, ${RANGE_V6}; one of each at most`,
    parse: (texts) => {
      const parsed = list.parse(texts);
      if ('reason' in parsed) return parsed;
      for (const family of ['IPv4', 'IPv6']) {
        const ranges = parsed.value.filter((range) => isV6(range) === (family === 'IPv6'));
        if (ranges.length > 1) return { reason: `has ${ranges.length} ranges of ${family}; give one of them` };
      }
      return parsed;
    },
  };
}

// Of IPv4 the first and the last address name the network and its broadcast; of IPv6 the first is that of its routers.
const PREFIX_V4_MAX = 30;
const PREFIX_V6_MAX = 127;
const RANGE_V4 = `IPv4 up to /${PREFIX_V4_MAX}`;
const RANGE_V6 = `IPv6 up to /${PREFIX_V6_MAX}`;

function unlessTooLong(parsed: Parsed<string>): Parsed<string> {
  if ('reason' in parsed) return parsed;
  const max = isV6(parsed.value) ? PREFIX_V6_MAX : PREFIX_V4_MAX;
  const length = Number(parsed.value.slice(parsed.value.indexOf('/') + 1));
  return length <= max ? parsed : { reason: `has no address to give; its length is to be ${max} at most` };
}

function isV6(range: string): boolean {
  return range.includes(':');
}

/** A path; relative ones start at the working directory. */
export function path(placeholder = 'PATH'): ValueType<string> {
  return single(placeholder, '', (text) => (text === '' ? { reason: 'is empty' } : { value: resolve(text) }));
}

export function text(placeholder = 'TEXT'): ValueType<string> {
  return single(placeholder, '', (value) => (value === '' ? { reason: 'is empty' } : { value }));
}

/** A name as Kubernetes takes it for nodes, pods and accounts. */
export function dnsName(): ValueType<string> {
  return single('NAME', '', (value) => unlessWrong(value, wrongWithName(value)));
}

/** A name as Kubernetes takes it for namespaces. */
export function namespaceName(): ValueType<string> {
  return single('NAME', '', (value) => unlessWrong(value, wrongWithNamespace(value)));
}

/** A domain of identities, like `cluster.local`. */
export function trustDomain(): ValueType<string> {
  return single('DOMAIN', '', (value) =>
    /^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$/.test(value)
      ? { value }
      : { reason: 'is not a trust domain, like cluster.local' },
  );
}

/** Items separated by commas; a repeated flag adds to the list. */
export function listOf<T extends string | number>(
  item: (text: string) => Parsed<T>,
  placeholder: string,
): ValueType<readonly T[]> {
  return {
    placeholder: `${placeholder}[,…]`,
    range: '',
    repeatable: true,
    parse: (texts) =>
      collect(
        texts.flatMap((one) => one.split(',')).filter((one) => one !== ''),
        item,
      ),
    format: (values) => values.join(','),
  };
}

/** `KEY=VALUE`, one a flag, and each key once; the value may hold commas and more `=`. */
export function pairs<T extends string | number>(
  value: (text: string) => Parsed<T>,
  placeholder: string,
  key: (text: string) => Parsed<string> = parseText,
): ValueType<ReadonlyMap<string, T>> {
  return {
    placeholder,
    range: '',
    repeatable: true,
    parse: (texts) => {
      const parsed = collect(
        texts.filter((one) => one !== ''),
        (one): Parsed<[string, T]> => {
          const cut = one.indexOf('=');
          if (cut <= 0) return { reason: `has no ${placeholder}` };
          const left = key(one.slice(0, cut));
          if ('reason' in left) return left;
          const right = value(one.slice(cut + 1));
          return 'reason' in right ? right : { value: [left.value, right.value] };
        },
      );
      if ('reason' in parsed) return parsed;
      const keys = parsed.value.map(([key]) => key);
      const twice = keys.find((key, index) => keys.indexOf(key) !== index);
      if (twice === undefined) return { value: new Map(parsed.value) };
      const count = keys.filter((key) => key === twice).length;
      return { reason: `gives ${JSON.stringify(twice)} ${count} times; keep the one that is meant` };
    },
    format: (values) => [...values].map(([key, one]) => `${key}=${one}`).join(' '),
  };
}

/** An address of either family, into its canonical text. */
export function parseIp(text: string): Parsed<string> {
  const address = parseAddress(text);
  return address === undefined ? { reason: 'is not an IP address' } : { value: address };
}

/** Any text, also an empty one. */
export function parseText(text: string): Parsed<string> {
  return { value: text };
}

/** A service account: `namespace/name`. */
export function parseAccount(text: string): Parsed<string> {
  const [namespace = '', name = '', ...more] = text.split('/');
  const wrong = more.length > 0 ? 'is not NAMESPACE/NAME' : (wrongWithNamespace(namespace) ?? wrongWithName(name));
  return wrong === undefined ? { value: text } : { reason: `is no account: NAMESPACE/NAME; it ${wrong}` };
}

/** The key of a label or an annotation. */
export function parseKey(text: string): Parsed<string> {
  const wrong = wrongWithKey(text);
  return unlessWrong(text, wrong && `has the key ${JSON.stringify(text)}: ${wrong}`);
}

/** The value of a label. */
export function parseLabelValue(text: string): Parsed<string> {
  const wrong = wrongWithLabelValue(text);
  return unlessWrong(text, wrong && `has the value ${JSON.stringify(text)}: it ${wrong}`);
}

export function parsePort(text: string): Parsed<number> {
  const port = Number(text);
  return /^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535
    ? { value: port }
    : { reason: 'is not a port (1 to 65535)' };
}

function unlessWrong<T>(value: T, reason: string | undefined): Parsed<T> {
  return reason === undefined ? { value } : { reason };
}

function collect<T>(texts: readonly string[], item: (text: string) => Parsed<T>): Parsed<T[]> {
  const values: T[] = [];
  for (const one of texts) {
    const parsed = item(one);
    if ('reason' in parsed)
      return texts.length === 1 ? parsed : { reason: `holds ${JSON.stringify(one)}, which ${parsed.reason}` };
    values.push(parsed.value);
  }
  return { value: values };
}

function mustParse<T>(parsed: Parsed<T>): T {
  if ('reason' in parsed) throw new Error(parsed.reason);
  return parsed.value;
}
