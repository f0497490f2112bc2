// SPDX-License-Identifier: Apache-2.0

import { formatSocketAddress, type SocketAddress } from '../model/address.ts';
import type { LogFields } from '../model/log.ts';
import type { ConnectionClosed } from '../model/messages.gen.ts';
import { hintOf } from '../model/policy-origin.ts';
import { HBONE_PORT } from '../model/route.ts';
import { findError } from './error-codes.ts';
import { FIELDS } from './fields.ts';
import type { FlowLabelTable } from './flow-labels.ts';
import type { Logger } from './logger.ts';

export interface AccessLogParts {
  readonly log: Logger;
  readonly labels: FlowLabelTable;
  /** The workload at an address, by the name of its pod. */
  findWorkload(
    address: string,
  ): { readonly name: string; readonly namespace: string; readonly clusterId: string } | undefined;
  /** The policy that decided a verdict. */
  findPolicy(verdict: bigint): string | undefined;
}

/**
 * Writes the one access-log line of a connection.
 *
 * Field names are ztunnel's; `error` ends in what the engine knows beyond the code, and `error.code`, `policy` and `hint`
 * say more where it failed. Bytes are seen from the pod whose line it is: an inbound one has sent what it answered. An
 * identity that nobody has proven is not told. The message says whether bytes could go: a connection that was open and then
 * failed is "complete", with an `error`. The level is that of the error table.
 * Source: ztunnel src/proxy/metrics.rs record_internal @62d8265.
 */
export function logConnection(parts: AccessLogParts, record: ConnectionClosed): void {
  const error = findError(record.code);
  const message = record.opened ? 'connection complete' : 'connection failed';
  parts.log.log(error?.level ?? 'info', message, connectionFields(parts, record));
}

function connectionFields(parts: AccessLogParts, record: ConnectionClosed): LogFields {
  const error = findError(record.code);
  const labels = parts.labels.find(record, error?.responseFlag ?? '-');
  const destination = destinationOf(record);
  const policy = error && parts.findPolicy(record.verdict);
  // Of a forged address the workload is not who connected; the labels are those of the pod that did.
  const source = error?.code === 'FORGED_SOURCE' ? undefined : parts.findWorkload(record.source.address);
  const target = parts.findWorkload(destination.address);
  const known = (text: string | undefined) => (text === 'unknown' || text === '' ? undefined : text);
  const proven = (identity: string) => (record.security === 'none' ? undefined : known(identity));
  const isInbound = record.direction === 'inbound';
  return {
    [FIELDS.connId]: record.id.toString(),
    [FIELDS.traceparent]: known(record.traceparent),
    [FIELDS.srcAddr]: formatSocketAddress(record.source),
    [FIELDS.srcWorkload]: source?.name ?? known(labels?.source_workload),
    [FIELDS.srcNamespace]: source?.namespace ?? known(labels?.source_workload_namespace),
    [FIELDS.srcIdentity]: proven(record.sourceIdentity),
    [FIELDS.srcCluster]: known(source?.clusterId ?? labels?.source_cluster),
    [FIELDS.dstAddr]: formatSocketAddress(
      // Where the tunnel ends; what is asked for within it is the address of HBONE.
      isInbound && record.hop === 'hbone' ? { ...destination, port: HBONE_PORT } : destination,
    ),
    [FIELDS.dstHboneAddr]: record.hop === 'hbone' ? known(record.hboneAuthority) : undefined,
    [FIELDS.dstService]: known(labels?.destination_service),
    [FIELDS.dstWorkload]: target?.name ?? known(labels?.destination_workload),
    [FIELDS.dstNamespace]: target?.namespace ?? known(labels?.destination_workload_namespace),
    [FIELDS.dstIdentity]: proven(record.destinationIdentity),
    [FIELDS.dstCluster]: known(target?.clusterId ?? labels?.destination_cluster),
    [FIELDS.direction]: record.direction,
    [FIELDS.hop]: isUndecided(record) ? undefined : record.hop,
    [FIELDS.bytesSent]: Number(isInbound ? record.bytesReceived : record.bytesSent),
    [FIELDS.bytesReceived]: Number(isInbound ? record.bytesSent : record.bytesReceived),
    [FIELDS.duration]: `${Number(record.durationUs / 1000n)}ms`,
    [FIELDS.error]: error && (record.detail === '' ? error.message : `${error.message}: ${record.detail}`),
    [FIELDS.errorCode]: error?.code,
    [FIELDS.hboneStatus]: record.hboneStatus > 0 && record.hboneStatus !== 200 ? record.hboneStatus : undefined,
    [FIELDS.policy]: policy,
    [FIELDS.hint]: error && hintOf(error.code, policy),
  };
}

function destinationOf(record: ConnectionClosed): SocketAddress {
  return record.direction === 'outbound' ? dialled(record) : record.originalDst;
}

// A connection that was refused before its next hop was known has only the address that was asked for.
function dialled(record: ConnectionClosed): SocketAddress {
  return hasNextHop(record) ? record.nextHop : record.originalDst;
}

function hasNextHop({ nextHop }: ConnectionClosed): boolean {
  return nextHop.port !== 0;
}

/** Whether it ended before anybody said how it was to be carried; what arrives has been carried in some way. */
function isUndecided(record: ConnectionClosed): boolean {
  return record.direction === 'outbound' && !hasNextHop(record);
}
