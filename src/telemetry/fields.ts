// SPDX-License-Identifier: Apache-2.0

/** Every name of a log field that parts of the agent share; one word a thing. */
export const FIELDS = {
  scope: 'scope',
  connId: 'conn.id',
  traceparent: 'conn.traceparent',
  srcAddr: 'src.addr',
  srcWorkload: 'src.workload',
  srcNamespace: 'src.namespace',
  srcIdentity: 'src.identity',
  dstAddr: 'dst.addr',
  dstHboneAddr: 'dst.hbone_addr',
  dstService: 'dst.service',
  dstWorkload: 'dst.workload',
  dstNamespace: 'dst.namespace',
  dstIdentity: 'dst.identity',
  direction: 'direction',
  hop: 'hop',
  bytesSent: 'bytes_sent',
  bytesReceived: 'bytes_recv',
  duration: 'duration',
  error: 'error',
  errorCode: 'error.code',
  hboneStatus: 'hbone.status',
  policy: 'policy',
  hint: 'hint',
} as const;
