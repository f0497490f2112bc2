// SPDX-License-Identifier: Apache-2.0

import { Buffer } from 'node:buffer';
import type { DecodedPacket, OptAnswer, Question, StringAnswer } from 'dns-packet';
import { decode, encode, encodingLength, RECURSION_AVAILABLE, RECURSION_DESIRED, TRUNCATED_RESPONSE } from 'dns-packet';
import { isRange } from '../model/address.ts';
import type { Service } from '../model/service.ts';
import { serviceKey } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { bestService } from './match-service.ts';
import type { MeshView } from './view.ts';

/** What to do with a query. `reason` is a closed set, for counting. */
export type NameDecision =
  | {
      readonly kind: 'answer';
      readonly reason: 'found' | 'empty' | 'unknown_name' | 'malformed';
      readonly message: Uint8Array;
    }
  | { readonly kind: 'forward'; readonly reason: 'type' | 'unknown_name' | 'opcode' }
  | { readonly kind: 'drop'; readonly reason: 'malformed' };

export interface NameOptions {
  /** Domain of the cluster's Services, e.g. `cluster.local`. */
  readonly clusterDomain: string;
  /** Nobody upstream knows more of the names below the cluster's domain. */
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
const FORMAT_ERROR = 1;
const NAME_ERROR = 3;
const MESH_NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;

/**
 * Answers a DNS query of a pod from the names of the mesh, or says that it is for the upstream resolver.
 *
 * Of class IN: A and AAAA of every name of the mesh. Below the cluster's domain, if that is ours, also that a name has nothing
 * else, and that there is no other name (NXDOMAIN); what we do not own may be known upstream. The
 * names of Services visible to the client: full, short by the client's namespace, with a suffix of the search list that the
 * client's resolver appended (answered through a CNAME), and by wildcard hosts.
 * A Service that is known and has no address of that family gives NOERROR without records.
 * Shape: pure but for `random`; never throws, whatever the bytes. Limits: O(labels) lookups, O(endpoints) if headless.
 * Source: ztunnel src/dns/server.rs; RFC 1035, RFC 6891.
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
  const name = question.name.toLowerCase();
  const asksAddress = question.type === 'A' || question.type === 'AAAA';
  const isOwn = options.ownsClusterDomain && name.endsWith(`.${options.clusterDomain}`);
  if (question.class !== 'IN' || !(asksAddress || isOwn)) return { kind: 'forward', reason: 'type' };
  if (!isRepeatable(question, bytes)) return { kind: 'forward', reason: 'unknown_name' };
  const found = findName(view, client, name, options.clusterDomain);
  const answer = (reason: 'found' | 'empty' | 'unknown_name', records: Records): NameDecision => ({
    kind: 'answer',
    reason,
    message: encodeAnswer(query, question, records, options),
  });
  if (!found) return isOwn ? answer('unknown_name', { code: NAME_ERROR }) : { kind: 'forward', reason: 'unknown_name' };
  // No CNAME either: with an answer that is empty a search list goes on, to the name whose other records upstream may know.
  if (!asksAddress) return answer('empty', {});
  const { service, canonicalName } = found;
  const addresses = rotate(addressesOf(view, client, service, question.type === 'AAAA'), options.random());
  return answer(addresses.length > 0 ? 'found' : 'empty', { addresses, ...(canonicalName && { canonicalName }) });
}

// An answer repeats its question. The decoder's text has lost bytes that are no text, and which dots stood within a label.
function isRepeatable(question: Question, query: Buffer): boolean {
  const repeated = encode({ questions: [question] }).subarray(HEADER_BYTES);
  return query.subarray(HEADER_BYTES, HEADER_BYTES + repeated.length).equals(repeated);
}

interface FoundName {
  readonly service: Service;
  /** The name without the suffix that the client's resolver had appended; absent when the name was meant as it is. */
  readonly canonicalName?: string;
}

function findName(view: MeshView, client: Workload, name: string, clusterDomain: string): FoundName | undefined {
  if (!MESH_NAME.test(name)) return undefined;
  const find = (hostname: string) => bestService(client.namespace, view.servicesByHostname(hostname));
  const suffixes = [`${client.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  // As it is, then as the short name of a Service.
  for (const hostname of [name, ...suffixes.map((suffix) => `${name}.${suffix}`)]) {
    const service = find(hostname);
    if (service) return { service };
  }
  const stripped = suffixes
    .filter((suffix) => name.endsWith(`.${suffix}`))
    .map((suffix) => name.slice(0, -suffix.length - 1));
  for (const canonicalName of stripped) {
    const service = find(canonicalName);
    if (service) return { service, canonicalName };
  }
  const service = findWildcard(name, find);
  if (service) return { service };
  for (const canonicalName of stripped) {
    const wildcard = findWildcard(canonicalName, find);
    if (wildcard) return { service: wildcard, canonicalName };
  }
  return undefined;
}

// The closest wildcard wins: `*.b.example` before `*.example`.
function findWildcard(name: string, find: (hostname: string) => Service | undefined): Service | undefined {
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const service = find(`*${name.slice(dot)}`);
    if (service) return service;
  }
  return undefined;
}

function addressesOf(view: MeshView, client: Workload, service: Service, wantsIpv6: boolean): string[] {
  if (service.ipFamilies === (wantsIpv6 ? 'IPV4_ONLY' : 'IPV6_ONLY')) return [];
  const isWanted = (address: string) => address.includes(':') === wantsIpv6;
  if (service.addresses.length > 0) {
    return service.addresses
      .filter((one) => one.network === client.network && !isRange(one) && isWanted(one.address))
      .map(({ address }) => address);
  }
  const addresses: string[] = [];
  for (const { workload } of view.endpointsOf(serviceKey(service)).values()) {
    if (workload.network !== client.network) continue;
    if (workload.status !== 'HEALTHY' && service.loadBalancing?.healthPolicy !== 'ALLOW_ALL') continue;
    addresses.push(...workload.addresses.filter(isWanted));
  }
  return addresses;
}

interface Records {
  readonly code?: number;
  readonly canonicalName?: string;
  readonly addresses?: readonly string[];
}

function encodeAnswer(
  query: DecodedPacket,
  question: Question,
  { code = 0, canonicalName, addresses = [] }: Records,
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
  const owner = canonicalName ?? question.name;
  const head: StringAnswer[] =
    canonicalName === undefined ? [] : [{ type: 'CNAME', name: question.name, ttl: TTL_SECONDS, data: canonicalName }];
  const records = addresses.map(
    (data): StringAnswer => ({ type: question.type as 'A' | 'AAAA', name: owner, ttl: TTL_SECONDS, data }),
  );
  const response = (answers: readonly StringAnswer[]) => ({
    type: 'response' as const,
    id: query.id ?? 0,
    flags: (query.flag_rd ? RECURSION_DESIRED : 0) | RECURSION_AVAILABLE | code,
    questions: [question],
    answers: [...answers],
    additionals,
  });
  const limit = options.transport === 'tcp' ? TCP_BYTES_MAX : Math.max(opt?.udpPayloadSize ?? 0, UDP_BYTES_MIN);
  const headBytes = encodingLength(response(head));
  const recordBytes = records[0] ? encodingLength(response([...head, records[0]])) - headBytes : 1;
  const fitting = Math.min(Math.floor((limit - headBytes) / recordBytes), RECORDS_MAX);
  const packet = response([...head, ...records.slice(0, Math.max(fitting, 0))]);
  // Only over UDP is there something to gain by asking again.
  if (options.transport === 'udp' && fitting < records.length) packet.flags |= TRUNCATED_RESPONSE;
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
