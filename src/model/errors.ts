// SPDX-License-Identifier: Apache-2.0

/** How loud an outcome is. error: a person must act; warn: heals itself; info: lifecycle. */
export type ErrorLevel = 'error' | 'warn' | 'info';

export interface ErrorEntry {
  /** Number on the wire between engine and agent. Append-only. */
  readonly number: number;
  /** A constant phrase; data go into fields. */
  readonly message: string;
  readonly level: ErrorLevel;
  /** Status that a CONNECT gets where it is refused with this; 0: none can be, it happens elsewhere. */
  readonly connectStatus: 0 | 400 | 401 | 503;
  /** Istio's `response_flags` of the connection's metrics. */
  readonly responseFlag: '-' | 'DENY' | 'CONNECT' | 'TLS_FAILURE' | 'H2_HANDSHAKE_FAILURE' | 'IDENTITY_ERROR';
  readonly hint: string;
}

function entry(
  number: number,
  message: string,
  level: ErrorLevel,
  connectStatus: ErrorEntry['connectStatus'],
  responseFlag: ErrorEntry['responseFlag'],
  hint: string,
): ErrorEntry {
  return { number, message, level, connectStatus, responseFlag, hint };
}

/**
 * Every way a connection can fail or be refused. The engine's C++ enum, the docs and the metrics are generated
 * from this table; numbers are append-only. 0 is "ended in the ordinary way" and has no entry.
 */
// biome-ignore format: a row an error.
export const ERROR_TABLE = {
  PEER_RESET: entry(1, 'connection reset by one of its ends', 'info', 0, '-', 'The application on one side reset the connection. The other got what came before, then the reset; `resets_cut_short` counts those that took over 5 s.'),

  UNKNOWN_SOURCE: entry(10, 'source workload is not known to the mesh', 'warn', 0, 'CONNECT', 'The control plane has not sent this pod yet; check `groundwire workloads` and the control plane.'),
  NO_HEALTHY_UPSTREAM: entry(11, 'service has no healthy endpoint', 'warn', 0, 'CONNECT', 'Check that the Service selects ready pods: `groundwire services`.'),
  UNKNOWN_SERVICE_PORT: entry(12, 'service does not have this port', 'warn', 503, 'CONNECT', 'The Service does not list the port that was dialled.'),
  ILLEGAL_DESTINATION: entry(13, 'destination is one of the mesh\'s own ports', 'warn', 503, 'CONNECT', 'A pod dialled a port of the agent; such a connection would loop.'),
  UNKNOWN_WAYPOINT: entry(14, 'destination wants a waypoint that is not known', 'warn', 0, 'CONNECT', 'A waypoint that is missing refuses rather than lets traffic past its policy; check the Gateway.'),
  UNREACHABLE_NETWORK: entry(15, 'destination is on another network without a gateway', 'warn', 0, 'CONNECT', 'Multi-network gateways are not served by this version.'),
  UNKNOWN_DESTINATION_WORKLOAD: entry(16, 'destination pod is not known to the mesh', 'warn', 503, 'CONNECT', 'The control plane has not sent this pod yet.'),
  REJECTED_DESTINATION: entry(17, 'destination was rejected when the control plane sent it', 'error', 0, 'CONNECT', 'This agent does not understand the destination, so it may want more than plaintext; `groundwire status` names it and says why.'),
  FORGED_SOURCE: entry(18, 'source address is not the pod\'s own', 'error', 0, 'CONNECT', 'A program in the pod binds an address that is not its own (IP_TRANSPARENT, `net.ipv4.ip_nonlocal_bind`); policy goes by the address, so it must be true. `forged_source` counts.'),
  UNKNOWN_SERVICE: entry(19, 'destination pod serves nothing by this name', 'warn', 503, 'CONNECT', 'A CONNECT names a Service in full (web.shop.svc.cluster.local:80), and one that has the pod that was dialled as an endpoint.'),  UNRESOLVED_NAME: entry(91, 'the name of the service\'s endpoint cannot be resolved', 'warn', 0, 'CONNECT', 'A ServiceEntry with `resolution: DNS`, or an endpoint given by name: this node asks --resolvers for it, and got no address; `groundwire status` names it and says why.'),

  UNSERVED_TUNNEL: entry(90, 'destination wants its connections handed over in a way that is not served', 'error', 503, 'CONNECT', 'The control plane gives the workload an `application_tunnel` (PROXY protocol, or a port of its own), as for a waypoint that does not speak HBONE itself; this version serves none, and the application would take plain bytes for something else.'),

  POLICY_DENIED: entry(20, 'denied by an authorization policy', 'info', 401, 'DENY', 'The policy named in the field `policy` denies this connection.'),
  POLICY_NOT_ALLOWED: entry(21, 'no authorization policy allows it', 'info', 401, 'DENY', 'ALLOW policies select this workload, and none of them matches.'),
  POLICY_UNKNOWN: entry(22, 'a policy that applies has not been received', 'warn', 401, 'DENY', 'A policy that applies is unknown here, or was rejected (`groundwire status` says why): denied until it arrives.'),
  POLICY_LATE_DENIED: entry(23, 'a change of policy ended the connection', 'info', 0, 'DENY', 'The connection was allowed when it began and is denied now.'),

  CONNECT_REFUSED: entry(30, 'destination refused the connection', 'warn', 503, 'CONNECT', 'Nothing listens on that port in the destination pod.'),
  CONNECT_TIMEOUT: entry(31, 'destination did not answer in time', 'warn', 503, 'CONNECT', 'Maybe a NetworkPolicy or firewall blocks the port (15008 between nodes).'),
  CONNECT_UNREACHABLE: entry(32, 'destination cannot be reached', 'warn', 503, 'CONNECT', 'No route to the destination from the pod\'s network namespace.'),
  DELIVERY_RETURNED: entry(33, 'the agent\'s delivery came back to it', 'error', 0, 'CONNECT', 'The kernel did not approve a delivery, which would now loop: look at `approve_map_full`, and that the agent is in its cgroup.'),
  SOURCE_PORTS_EXHAUSTED: entry(34, 'no source port is left towards the destination', 'error', 503, 'CONNECT', 'All of `net.ipv4.ip_local_port_range` of the pod\'s namespace are in use towards that address and port: widen it, or have the client keep its connections.'),

  TLS_HANDSHAKE_FAILED: entry(40, 'TLS handshake failed', 'warn', 0, 'TLS_FAILURE', 'The peer does not speak TLS 1.3 with a mesh certificate on port 15008.'),
  TLS_UNEXPECTED_IDENTITY: entry(41, 'peer is not who it should be', 'error', 0, 'TLS_FAILURE', 'The address is served by another identity than the mesh says; it may have been reused.'),
  TLS_TRUST_DOMAIN: entry(42, 'peer belongs to another trust domain', 'warn', 0, 'TLS_FAILURE', 'The peer\'s certificate names a trust domain that is not ours.'),
  TLS_TIMEOUT: entry(43, 'TLS handshake did not finish in time', 'warn', 0, 'TLS_FAILURE', 'The peer accepted the connection and then said nothing.'),
  IDENTITY_UNAVAILABLE: entry(44, 'no valid certificate for the identity', 'error', 0, 'IDENTITY_ERROR', 'The certificate authority has not answered; see `groundwire certificates`.'),
  CERTIFICATE_EXPIRED: entry(45, 'a certificate of the connection expired', 'warn', 0, 'IDENTITY_ERROR', 'The peer did not prove its identity again before its certificate expired.'),
  IDENTITY_REMOVED: entry(46, 'the identity is no longer served here', 'info', 0, 'IDENTITY_ERROR', 'The last pod of this identity left the node, or the identity was revoked.'),

  HBONE_REFUSED: entry(50, 'peer refused the CONNECT', 'warn', 0, 'CONNECT', 'See the field `hbone.status`: 401 is policy, 503 an unreachable application, 400 a wrong address.'),
  HBONE_PROTOCOL: entry(51, 'peer broke the HTTP/2 protocol', 'warn', 0, 'H2_HANDSHAKE_FAILURE', 'The peer on port 15008 does not speak HBONE.'),
  HBONE_PING_TIMEOUT: entry(52, 'peer stopped answering', 'warn', 0, 'CONNECT', 'No PING answer within its deadline; the node or the link is gone.'),
  HBONE_BAD_REQUEST: entry(53, 'CONNECT request is not acceptable', 'warn', 400, 'CONNECT', 'The method is not CONNECT, or its authority is not an address and port. One that HTTP/2 itself does not allow is reset.'),
  HBONE_WRONG_ADDRESS: entry(54, 'CONNECT names an address that is not this pod', 'warn', 400, 'CONNECT', 'The authority must be an address of the pod that was dialled, of the family over which it was.'),
  HBONE_RESPONSE_TIMEOUT: entry(55, 'peer did not answer the CONNECT in time', 'warn', 0, 'CONNECT', 'The peer\'s agent or application is stuck.'),
  HBONE_GOAWAY: entry(56, 'peer closed the HBONE connection', 'warn', 0, 'CONNECT', 'The peer is going away; new connections use a new one.'),

  VERDICT_TIMEOUT: entry(60, 'no decision in time', 'error', 503, 'CONNECT', 'The agent\'s decision thread is busy or gone; connections without a verdict fail closed.'),
  VERDICT_QUEUE_FULL: entry(61, 'too many connections wait for a decision', 'error', 503, 'CONNECT', 'The bound on waiting connections of this pod was reached.'),

  DRAINED: entry(70, 'ended by drain', 'info', 0, '-', 'The pod or the agent was asked to stop and its drain deadline passed.'),
  POD_REMOVED: entry(71, 'the pod is gone', 'info', 503, '-', 'The pod was removed from this node.'),

  LIMIT_CONNECTIONS: entry(80, 'too many connections', 'error', 503, 'CONNECT', 'The bound on live connections of the agent was reached, or the pod has as many as are left: `limit_connections`, `limit_pod_connections`; of tunnels, `limit_tunnels`, `limit_peer_tunnels` or `tunnels_full`.'),
  LIMIT_MEMORY: entry(82, 'more waits for a reader than there is memory for', 'error', 503, 'CONNECT', 'An application of the pod does not read what comes, on so many connections that the pod\'s part of `--kept-memory` is full: `kept_full` counts, `kept_bytes_live` tells how full all of it is. Senders are slowed long before, so the peer may be one that heeds no windows.'),
  OUT_OF_FILES: entry(81, 'out of file descriptors or memory', 'error', 503, 'CONNECT', 'Raise the limit of open files of the agent.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_TABLE;
