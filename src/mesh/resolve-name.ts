// SPDX-License-Identifier: Apache-2.0

import { Buffer } from 'node:buffer';
import type { DecodedPacket, OptAnswer, Question, Answer as Record } from 'dns-packet';
import { decode, encode, encodingLength, RECURSION_AVAILABLE, RECURSION_DESIRED, TRUNCATED_RESPONSE } from 'dns-packet';
import type { Workload } from '../model/workload.ts';
import { type FoundName, MeshNames } from './mesh-names.ts';
import type { ResolvedName } from './resolved-name.ts';
import type { MeshView } from './view.ts';

/** What to do with a query. `reason` is a closed set, for counting. */
export type NameDecision =
  | {
      readonly kind: 'answer';
      readonly reason: 'found' | 'empty' | 'unknown_name' | 'malformed';
      readonly message: Uint8Array;
    }
  /** The name is another one for `hostname`, which is outside the mesh: `compose` makes the answer of what DNS says of that. */
  | {
      readonly kind: 'follow';
      readonly hostname: string;
      readonly compose: (resolved: ResolvedName, ttlSeconds: number) => Uint8Array;
    }
  | { readonly kind: 'forward'; readonly reason: 'type' | 'unknown_name' | 'no_address' | 'opcode' }
  | { readonly kind: 'drop'; readonly reason: 'malformed' };

export interface NameOptions {
  /** Domain of the cluster's Services, e.g. `cluster.local`. */
  readonly clusterDomain: string;
  /** Nobody upstream knows more of the Services and pods below the cluster's domain. */
  readonly ownsClusterDomain: boolean;
  readonly transport: 'udp' | 'tcp';
  /** In [0, 1): where the rotation of the addresses starts. */
  readonly random: () => number;
}

/** Short, since an answer outlives the Service that gave it by this much. Value: ztunnel src/dns/server.rs. */
export const TTL_SECONDS = 30;
const HEADER_BYTES = 12;
const UDP_BYTES_MIN = 512;
const TCP_BYTES_MAX = 65_535;
// Addresses in one answer; a client tries a handful, and a larger answer only costs everyone.
const RECORDS_MAX = 512;
// A query may carry OPT and a signature; nothing else belongs behind its question.
const ADDITIONALS_MAX = 2;
// Names of names of names; two that name each other would never end.
const ALIASES_MAX = 8;
const FORMAT_ERROR = 1;
const SERVER_FAILURE = 2;
const NAME_ERROR = 3;

/**
 * Answers a DNS query of a pod from the names of the mesh, or says that it is for the upstream resolver.
 *
 * Of class IN, what the mesh has: A and AAAA of its names (full, short by the client's namespace, with a suffix of the
 * search list that the client's resolver appended, answered through a CNAME, and by wildcard hosts); of endpoints by
 * their names and addresses below their Service; of pods; CNAME of an ExternalName; SRV of ports by name; PTR of what it
 * gave addresses to. What it has no record of it forwards: a known name without any address is somebody else's to know.
 *
 * Where the cluster's domain is ours (`ownsClusterDomain`), nobody else knows Services and pods below it (`svc.DOMAIN`,
 * `pod.DOMAIN`): what is not there does not exist (NXDOMAIN). The rest of the domain is not ours.
 * A name that has an address of the other family only gives NOERROR without records.
 * Shape: pure but for `random`; never throws, whatever the bytes. Limits: O(labels) lookups, O(endpoints) if headless.
 * Source: ztunnel src/dns/server.rs; the DNS specification of Kubernetes, 1.1.0; RFC 1035, RFC 2782, RFC 6891.
 */
export function resolveName(view: MeshView, client: Workload, message: Uint8Array, options: NameOptions): NameDecision {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  // Counts are checked before the decoder makes room for what they promise. A response is nobody's question.
  if (bytes.length < HEADER_BYTES || (bytes.readUInt8(2) & 0x80) !== 0) return { kind: 'drop', reason: 'malformed' };
  if ((bytes.readUInt8(2) & 0x78) !== 0) return { kind: 'forward', reason: 'opcode' };
  const hasOddCounts =
    bytes.readUInt16BE(4) !== 1 || bytes.readUInt32BE(6) !== 0 || bytes.readUInt16BE(10) > ADDITIONALS_MAX;
  const query = hasOddCounts ? undefined : tryDecode(bytes);
  const question = query?.questions?.[0];
  if (!query || !question) return { kind: 'answer', reason: 'malformed', message: formatError(bytes) };
  if (question.class !== 'IN') return { kind: 'forward', reason: 'type' };
  if (!isRepeatable(question, bytes)) return { kind: 'forward', reason: 'unknown_name' };
  return new NameQuestion(view, client, { query, question }, options).decide();
}

/** A query that could be read. */
interface Asked {
  readonly query: DecodedPacket;
  readonly question: Question;
}

class NameQuestion {
  readonly #names: MeshNames;
  readonly #asked: Asked;
  readonly #options: NameOptions;
  readonly #name: string;
  readonly #isOwn: boolean;

  constructor(view: MeshView, client: Workload, asked: Asked, options: NameOptions) {
    this.#names = new MeshNames(view, client, options.clusterDomain);
    this.#asked = asked;
    this.#options = options;
    this.#name = asked.question.name.toLowerCase();
    const { clusterDomain, ownsClusterDomain } = options;
    const domains = [`.svc.${clusterDomain}`, `.pod.${clusterDomain}`];
    this.#isOwn = ownsClusterDomain && domains.some((domain) => this.#name.endsWith(domain));
  }

  decide(): NameDecision {
    const { type } = this.#asked.question;
    if (type === 'PTR') return this.#answerPointer();
    const found = this.#names.find(this.#name);
    const alias = found?.service.extension?.externalName;
    if (found && alias) return this.#answerAlias(alias);
    if (type === 'A' || type === 'AAAA') return found ? this.#answerAddresses(found) : this.#answerPod();
    if (type === 'SRV') {
      const records = this.#names.findPort(this.#name);
      if (records && records.length > 0)
        return this.#answer('found', {
          records: records.map(({ port, target }) =>
            this.#record(this.#asked.question.name, 'SRV', { priority: 0, weight: 100, port, target }),
          ),
        });
      if (records) return this.#answer('empty', {});
    }
    // No CNAME either: with an answer that is empty a search list goes on, to the name whose other records upstream may know.
    if (found && this.#isOwn) return this.#answer('empty', {});
    return this.#notHere(found ? 'type' : 'unknown_name');
  }

  #answerAddresses(found: FoundName): NameDecision {
    const { question } = this.#asked;
    const wantsIpv6 = question.type === 'AAAA';
    const addresses = this.#names.addressesOf(found, wantsIpv6);
    const { canonicalName } = found;
    if (addresses.length > 0) {
      const owner = canonicalName ?? question.name;
      const head = canonicalName === undefined ? [] : [this.#record(question.name, 'CNAME', canonicalName)];
      return this.#answer('found', { head, records: this.#addressRecords(owner, addresses, TTL_SECONDS) });
    }
    if (this.#names.addressesOf(found, !wantsIpv6).length > 0) return this.#answer('empty', {});
    // It is known and has no address at all. Its own name is for whoever has one to say; a Service of ours that has none
    // yet exists all the same; and what the search list made of the name is no name.
    if (this.#isOwn && canonicalName === undefined && !found.service.hostname.startsWith('*'))
      return this.#answer('empty', {});
    return this.#notHere('no_address');
  }

  /** An ExternalName, and what it leads to: other names of the mesh, and at their end perhaps one outside. */
  #answerAlias(first: string): NameDecision {
    const { question } = this.#asked;
    const head = [this.#record(question.name, 'CNAME', first)];
    if (question.type !== 'A' && question.type !== 'AAAA') return this.#answer('found', { records: head });
    let name = first;
    let found = this.#findFull(name);
    for (let alias = found?.service.extension?.externalName; alias; alias = found?.service.extension?.externalName) {
      if (head.length >= ALIASES_MAX) return this.#answer('empty', { code: SERVER_FAILURE });
      head.push(this.#record(name, 'CNAME', alias));
      name = alias;
      found = this.#findFull(name);
    }
    const wantsIpv6 = question.type === 'AAAA';
    if (found) {
      const addresses = this.#names.addressesOf(found, wantsIpv6);
      if (addresses.length > 0)
        return this.#answer('found', { head, records: this.#addressRecords(name, addresses, TTL_SECONDS) });
      if (this.#names.addressesOf(found, !wantsIpv6).length > 0) return this.#answer('empty', { head });
    }
    return {
      kind: 'follow',
      hostname: name,
      compose: (resolved, ttlSeconds) => this.#composeFollowed(head, name, resolved, ttlSeconds),
    };
  }

  #composeFollowed(head: readonly Record[], name: string, resolved: ResolvedName, ttlSeconds: number): Uint8Array {
    switch (resolved.kind) {
      case 'found': {
        const wantsIpv6 = this.#asked.question.type === 'AAAA';
        const addresses = resolved.addresses.filter((address) => address.includes(':') === wantsIpv6);
        return this.#encode({ head, records: this.#addressRecords(name, addresses, ttlSeconds) });
      }
      case 'none':
        return this.#encode({ head, ...(!resolved.exists && { code: NAME_ERROR }) });
      case 'failed':
        return this.#encode({ code: SERVER_FAILURE });
    }
  }

  #findFull(hostname: string): FoundName | undefined {
    return this.#names.findExactly(hostname) ?? this.#names.findAround(hostname);
  }

  #answerPod(): NameDecision {
    const address = this.#names.findPod(this.#name);
    if (address === undefined) return this.#notHere('unknown_name');
    if (address.includes(':') !== (this.#asked.question.type === 'AAAA')) return this.#answer('empty', {});
    return this.#answer('found', { records: this.#addressRecords(this.#asked.question.name, [address], TTL_SECONDS) });
  }

  #answerPointer(): NameDecision {
    const names = this.#names.findReverse(this.#name);
    if (names.length === 0) return this.#notHere('unknown_name');
    return this.#answer('found', {
      records: names.map((name) => this.#record(this.#asked.question.name, 'PTR', name)),
    });
  }

  // A namespace, and `svc` itself, have names below them: to say that they do not exist would deny those, too (RFC 8020).
  #notHere(reason: 'type' | 'unknown_name' | 'no_address'): NameDecision {
    if (!this.#isOwn) return { kind: 'forward', reason };
    const { clusterDomain } = this.#options;
    const isBranch = this.#name.split('.').length <= clusterDomain.split('.').length + 2;
    return isBranch ? this.#answer('empty', {}) : this.#answer('unknown_name', { code: NAME_ERROR });
  }

  #addressRecords(owner: string, addresses: readonly string[], ttl: number): Record[] {
    const type = this.#asked.question.type as 'A' | 'AAAA';
    return rotate(addresses, this.#options.random()).map((data) => ({ type, name: owner, ttl, data }));
  }

  #record(name: string, type: 'CNAME' | 'PTR' | 'SRV', data: unknown): Record {
    return { type, name, ttl: TTL_SECONDS, data } as Record;
  }

  #answer(reason: 'found' | 'empty' | 'unknown_name', records: Records): NameDecision {
    return { kind: 'answer', reason, message: this.#encode(records) };
  }

  #encode(records: Records): Uint8Array {
    return encodeAnswer(this.#asked, records, this.#options);
  }
}

// An answer repeats its question. The decoder's text has lost bytes that are no text, and which dots stood within a label.
function isRepeatable(question: Question, query: Buffer): boolean {
  const repeated = encode({ questions: [question] }).subarray(HEADER_BYTES);
  return query.subarray(HEADER_BYTES, HEADER_BYTES + repeated.length).equals(repeated);
}

interface Records {
  readonly code?: number;
  /** CNAMEs on the way, which are always told. */
  readonly head?: readonly Record[];
  readonly records?: readonly Record[];
}

function encodeAnswer(
  { query, question }: Asked,
  { code = 0, head = [], records = [] }: Records,
  options: NameOptions,
): Uint8Array {
  const opt = query.additionals?.find((record): record is OptAnswer => record.type === 'OPT');
  const additionals: OptAnswer[] = opt
    ? [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: opt.udpPayloadSize,
          extendedRcode: 0,
          ednsVersion: 0,
          flags: opt.flags,
          flag_do: opt.flag_do,
          options: [],
        },
      ]
    : [];
  const response = (answers: readonly Record[]) => ({
    type: 'response' as const,
    id: query.id ?? 0,
    flags: (query.flag_rd ? RECURSION_DESIRED : 0) | RECURSION_AVAILABLE | code,
    questions: [question],
    answers: [...answers],
    additionals,
  });
  const limit = options.transport === 'tcp' ? TCP_BYTES_MAX : Math.max(opt?.udpPayloadSize ?? 0, UDP_BYTES_MIN);
  let left = limit - encodingLength(response(head));
  const fitting: Record[] = [];
  for (const record of records.slice(0, RECORDS_MAX)) {
    left -= encodingLength({ answers: [record] }) - HEADER_BYTES;
    if (left < 0) break;
    fitting.push(record);
  }
  const packet = response([...head, ...fitting]);
  // Only over UDP is there something to gain by asking again.
  if (options.transport === 'udp' && fitting.length < records.length) packet.flags |= TRUNCATED_RESPONSE;
  return encode(packet);
}

function tryDecode(bytes: Buffer): DecodedPacket | undefined {
  try {
    return decode(bytes);
  } catch {
    // The decoder throws for every malformed message; what is wrong with it is of no use to anyone.
    return undefined;
  }
}

// Only the header, with the id of the query: what follows it was not understood.
function formatError(query: Buffer): Uint8Array {
  const message = Buffer.alloc(HEADER_BYTES);
  message.writeUInt16BE(query.readUInt16BE(0), 0);
  message.writeUInt8(0x80 | (query.readUInt8(2) & 0x01), 2);
  message.writeUInt8(0x80 | FORMAT_ERROR, 3);
  return message;
}

function rotate<T>(items: readonly T[], random: number): readonly T[] {
  const start = Math.floor(random * items.length);
  return [...items.slice(start), ...items.slice(0, start)];
}
