// SPDX-License-Identifier: Apache-2.0

/** What a counter counts, and what to do when it rises; "" where that is ordinary traffic. */
export type CounterHelp = readonly [counts: string, rises: string];

// The names are given here and nowhere else: the engine's and the kernel programs' are generated from these tables, in their
// order. Append, never rename or reorder: dashboards use the names, and pins that outlive an agent the order.

/** What workers of the engine count. */
export const ENGINE_COUNTERS = {
  outbound_accepted: ['connections that captured pods opened', ''],
  inbound_hbone_accepted: ['TCP connections to the HBONE port of captured pods, before TLS', ''],
  inbound_plaintext_accepted: [
    'plaintext connections to captured pods',
    'with strict policy: find the clients outside the mesh',
  ],
  accept_out_of_files: [
    'connections not accepted: no file descriptor or memory left',
    'raise the limit of open files of the agent',
  ],
  accept_failed: [
    'connections that were gone before they were accepted',
    'clients give up before they are served: the agent has no CPU',
  ],
  accept_paused: [
    'times a listener waited after it could not accept',
    'see accept_out_of_files and accept_watch_failed',
  ],
  limit_connections: [
    'connections refused: --connections-max are live, or as many as the limit of open files allows',
    'raise it (the log says at the start when files limit it), or find the pod that holds them: groundwire connections',
  ],
  illegal_destination: [
    "connections refused: to a port of the agent's own, where they would loop",
    'find the pod in the access log (ILLEGAL_DESTINATION)',
  ],
  verdict_hits: ['connections decided from memory', ''],
  verdict_misses: ['connections for which TypeScript was asked', ''],
  verdict_evicted: [
    'remembered decisions dropped for newer ones: the memory is full',
    'harmless but slower; many destinations or sources are in use; a pod with more than its share loses its own',
  ],
  verdict_invalidated: ['remembered decisions that a change of the mesh made void', ''],
  verdict_timeouts: [
    'questions not decided within --verdict-timeout: new connections are refused, live ones go on and are asked about again',
    'the agent has no CPU: look at nodejs_eventloop_lag_seconds',
  ],
  verdict_queue_full: [
    'connections refused: --verdict-queue of the pod wait already in their worker thread',
    'as for verdict_timeouts; or the pod floods',
  ],
  verdict_stale_answers: ['answers to questions that nobody waits for any more', 'as for verdict_timeouts'],
  verdict_reasked: ['questions asked again for live connections after a change', ''],
  connections_late_denied: [
    'live connections ended because a change of policy denies them',
    'expected after a change of policy',
  ],
  tunnels_dialled: ['tunnels dialled to peers', ''],
  tunnels_dial_failed: [
    'tunnels that did not come to be: not dialled, not connected, or TLS failed',
    'the access log says why, connection by connection; one that was only a proof is dialled again',
  ],
  tunnels_accepted: ['tunnels accepted from peers, TLS done', ''],
  tunnels_proof_dialled: ["tunnels dialled to prove a peer's identity again under live connections", ''],
  tunnels_expired: [
    'tunnels ended: the peer did not prove its identity again in time',
    'look at certificates of both nodes: groundwire certificates',
  ],
  tunnels_idle_closed: ['tunnels closed after --tunnel-idle', ''],
  tunnels_linger_cut: [
    'tunnels closed after an orderly end of ours, before the peer had ended too: 5 s later, or at the deadline of a release',
    'the peer does not end its side of a connection, or is unreachable; what it had not received yet is lost',
  ],
  tunnels_ping_timeout: [
    'tunnels ended: the peer answered no PING within --ping-timeout',
    'a node or a link between nodes is gone or overloaded',
  ],
  tunnels_flooded: [
    'tunnels ended: the peer asked for work without end, or sent and did not read',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_full: ['connections refused: 1024 tunnels to one peer', 'the peer takes too few streams a tunnel'],
  tunnel_streams: [
    'connections for which a CONNECT was sent into a tunnel, once more for each that was tried again',
    '',
  ],
  tunnel_streams_retried: [
    'connections tried again on another tunnel, nothing sent yet',
    'expected when a peer restarts',
  ],
  tls_handshakes: ['TLS handshakes done', ''],
  tls_handshakes_failed: [
    'TLS handshakes that failed, with peers dialled or dialling: refused by either side, cut off, or too slow',
    'the field error of the access log says why: certificates, trust domain, no TLS at all',
  ],
  hbone_bad_requests: [
    'requests in tunnels that are no acceptable CONNECT',
    'the peer is no HBONE client, or of another version',
  ],
  hbone_headers_refused: ['requests in tunnels with too many bytes of headers', 'the peer is broken or hostile'],
  flow_rows_full: [
    'connections counted without labels: the table of flows is full',
    'more pairs of workloads talk than are kept; the sums stay right',
  ],
  peers_full: [
    'workloads that inbound metrics cannot name: the table of peers is full',
    'the mesh is larger than the engine keeps; only labels are lost',
  ],
  dns_queries: ['DNS queries of captured pods', ''],
  dns_answered: ['DNS queries answered from the mesh', ''],
  dns_forwarded: ['DNS queries forwarded to --resolvers', ''],
  dns_forward_failed: [
    'forwarded DNS queries that no resolver answered (SERVFAIL), or that all refused',
    "look at --resolvers and --resolve-from, and at the pod's network policy and routes",
  ],
  dns_timeouts: ['DNS queries that were not decided in time: SERVFAIL', 'the agent has no CPU'],
  dns_queue_full: ['DNS queries dropped: too many of the pod wait', 'the resolvers are slow, or the pod floods'],
  dns_malformed: ['DNS queries that are not DNS', 'find what the pod sends to port 53'],
  dns_tcp_limit: [
    'TCP connections for DNS refused: too many of the pod, or of all',
    'the pod keeps them open; see which',
  ],
  dns_reply_failed: [
    'DNS answers that could not be sent to the pod',
    'look at the log of the kernel; the pod may be gone',
  ],
  looked_on: ['times a thread looked on for an answer before it slept', ''],
  looked_on_paid: ['times the answer came while it looked on', ''],
  dns_watch_failed: [
    'DNS sockets that could not be watched',
    'no file descriptor or memory left: raise the limit of open files',
  ],
  verdict_reask_retried: [
    'questions for live connections asked again: no answer in time',
    'as for verdict_timeouts; the connections live on meanwhile',
  ],
  forged_source: [
    'connections refused: a pod used a source address that is not its own',
    'a program in the pod binds foreign addresses (IP_TRANSPARENT): the access log (FORGED_SOURCE) names the pod',
  ],
  limit_tunnels: [
    'tunnels refused before TLS: too many, or too many handshakes with one pod of which none is late',
    'peers open tunnels without end; the access log has the addresses',
  ],
  tunnels_protocol_error: ['tunnels ended: the peer broke HTTP/2', 'the peer is broken, hostile or of another version'],
  hbone_streams_refused: ['requests in tunnels refused: too many at once', 'the peer ignores the limit it was told'],
  release_failed: [
    'pods whose release failed; tried again',
    'look at the log of the agent; until then the pod stays captured',
  ],
  uncaptured_list_failed: [
    "times a pod's connections from before its capture could not be listed",
    'they are not reported: restart the pod if policy must hold for them',
  ],
  uncaptured_close_failed: [
    "times a pod's connections from before its capture could not be closed",
    'no policy holds for them: restart the pod',
  ],
  resets_cut_short: [
    'resets carried before the other side had taken all that came before: 5 s were over',
    'an application does not read, or a link is very slow',
  ],
  dns_forward_mismatched: [
    'messages from a resolver that answer another question: dropped',
    'somebody forges answers, or the resolver is broken',
  ],
  dns_rows_full: [
    'forwarded DNS queries counted as unknown: too many sets of labels',
    'only labels of istio_dns_upstream_* are lost',
  ],
  dns_too_large: ['DNS queries refused (FORMERR): more than 4096 bytes', 'find what the pod sends to port 53'],
  tunnel_streams_held_back: [
    'connections refused: the peer took no more streams in time (SETTINGS_MAX_CONCURRENT_STREAMS)',
    'the peer is overloaded or about to stop; the access log has its address',
  ],
  accept_watch_failed: [
    'times a listener could not be watched; tried again',
    'no memory left, or fs.epoll.max_user_watches is too small',
  ],
  hbone_wrong_addresses: [
    'requests in tunnels for an address that is not the pod',
    'the peer has an older view of the mesh; the access log (HBONE_WRONG_ADDRESS) names it',
  ],
  out_of_files: [
    'connections refused or ended: no file descriptor or memory left',
    'raise the limit of open files of the agent',
  ],
  delivery_returned: [
    'deliveries to applications that the kernel led back to the agent: refused, or they would loop',
    'see approve_map_full; without that, the agent was moved out of its cgroup: restart it',
  ],
  handshakes_displaced: [
    'late TLS handshakes ended for newer ones: too many with one pod',
    'somebody connects to port 15008 and says nothing; the access log has the addresses',
  ],
  limit_pod_connections: [
    'connections refused: the pod has as many as the node has left',
    'find the pod in the access log (LIMIT_CONNECTIONS); if it needs them, raise --connections-max',
  ],
  source_ports_exhausted: [
    'connects that failed: each source port towards that destination is in use',
    "widen net.ipv4.ip_local_port_range in the pod's namespace, or find who opens so many (SOURCE_PORTS_EXHAUSTED)",
  ],
  limit_peer_tunnels: [
    'tunnels refused before TLS: the address has as many, or as many handshakes with one pod, as are left for others',
    'the peer opens tunnels without end: find it in the access log (LIMIT_CONNECTIONS); others still get through',
  ],
  tunnels_stale_drained: [
    'accepted tunnels told to end (GOAWAY): a certificate of theirs has used up half of the rest it had; the peer dials anew',
    '',
  ],
  capture_repaired: [
    'times something that capture needs was gone and was put back: rules, routes, sysctls, listeners, programs',
    'the log names the pod and what: somebody in the pod with CAP_NET_ADMIN, or on the node, undoes it',
  ],
  capture_repair_failed: [
    'times something that capture needs was gone and could not be put back; tried again',
    'groundwire status and the log say what stands in the way; what the pod sends past the agent is dropped meanwhile',
  ],
  tunnel_turns_cut: [
    'turns of a tunnel that ended with frames left: thousands of small ones came at once',
    'high numbers: a peer sends bytes one by one; others have their turns in between',
  ],
  tunnels_flooded_resets: [
    'of tunnels_flooded: the peer opened and reset streams that carried nothing',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_flooded_forced_resets: [
    'of tunnels_flooded: the peer broke the rules on stream after stream',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_flooded_empty_data: [
    'of tunnels_flooded: the peer sent empty DATA',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_flooded_window_updates: [
    'of tunnels_flooded: the peer sent more WINDOW_UPDATEs than the DATA it got explains',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_flooded_pings: [
    'of tunnels_flooded: the peer sent PINGs without end',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_flooded_settings: [
    'of tunnels_flooded: the peer sent SETTINGS without end',
    'the peer is broken or hostile; the access log has its address',
  ],
  tunnels_flooded_other_frames: [
    'of tunnels_flooded: the peer sent PRIORITY, GOAWAY or unknown frames without end',
    'the peer is broken or hostile; the access log has its address',
  ],
  kept_full: [
    "connections cut: what waits for their readers fills the pod's part of --kept-memory",
    'find the pod in the access log (LIMIT_MEMORY): its applications do not read',
  ],
  windows_shrunk: [
    'times that a tunnel let its peer send less ahead, since readers of the pod leave much waiting',
    'a pod reads slowly, and its senders wait for it; nobody else does',
  ],
} as const satisfies Readonly<Record<string, CounterHelp>>;

/** What the engine reads when it is asked. */
export const ENGINE_READINGS = {
  events_dropped: [
    'records of ended connections dropped: TypeScript did not take them in time',
    'the access log has gaps, metrics do not; the agent has no CPU',
  ],
  questions_dropped: [
    'questions that found no room on their way to TypeScript: refused or SERVFAIL when their time is over',
    'the agent has no CPU: look at nodejs_eventloop_lag_seconds',
  ],
  question_bytes_live: ['bytes of questions that wait for TypeScript now; 16 MiB at most', ''],
  record_bytes_live: ['bytes of records of ended connections that wait for TypeScript now; 32 MiB at most', ''],
  connections_live: ['live connections now', ''],
  kept_bytes_live: ['memory in which bytes wait for their readers now', 'beside kept_bytes_max, how full it is'],
  kept_bytes_max: ['what --kept-memory allows', ''],
} as const satisfies Readonly<Record<string, CounterHelp>>;

/** What the eBPF programs count: each way out of one. */
export const KERNEL_COUNTERS = {
  connect_not_tcp: ['connects that are not TCP: left alone', ''],
  connect_not_captured: ['connects of processes in no captured pod: left alone', ''],
  connect_agent: ["connects of the agent in a pod's name: left alone", ''],
  connect_loopback: ['connects to loopback: left alone', ''],
  connect_own_address: ["connects to the pod's own address: left alone", ''],
  connect_mark_cleared: ['sockets used again for a connect that is left alone', ''],
  connect_captured: ['connects led to the agent', ''],
  connect_refused_device: [
    'connects refused (EPERM): the socket is bound to a device and would leave in plaintext',
    'the program in the pod uses SO_BINDTODEVICE; it cannot in a mesh',
  ],
  connect_refused_link_local: [
    'connects refused (EPERM): to a link-local IPv6 address',
    'the program in the pod uses fe80::/10; it cannot in a mesh',
  ],
  connect_refused_family: [
    'connects refused (EPERM): to a family of which the pod has no address',
    'usually a client that tries IPv6 first and then goes on with IPv4',
  ],
  connect_refused_mark_failed: [
    'connects refused (EPERM): the socket could not be marked',
    'report it: this should not happen',
  ],
  steer_self: ['connections within a pod: left alone', ''],
  steer_approved: ['connections of the agent or of a probe to the application: let in', ''],
  steer_outbound: ['outbound connections given to the agent', ''],
  steer_plaintext: ['inbound plaintext connections given to the agent', ''],
  steer_hbone: ['inbound tunnels given to the agent', ''],
  steer_dns_udp: ['DNS queries over UDP given to the agent', ''],
  steer_dns_tcp: ['DNS connections over TCP given to the agent', ''],
  steer_udp_passed: ['other UDP: left alone', ''],
  steer_dropped_no_listener: [
    'connections dropped: no agent listens for the pod',
    'the agent is gone or restarting: groundwire status',
  ],
  steer_dropped_direct: [
    "connections dropped: a pod dialled a listener of its agent's",
    'a program in the pod scans ports',
  ],
  steer_dropped_assign_failed: [
    'connections dropped: the kernel did not hand them over',
    'report it: this should not happen',
  ],
  approve_other_event: ['events of sockets that mean nothing here', ''],
  approve_not_delivery: ['connects in the agent that are no delivery to an application', ''],
  approve_not_pod: ['connects of the prober to no pod', ''],
  approve_delivery: ['deliveries to applications approved', ''],
  approve_probe: ['probes of the kubelet approved', ''],
  approve_forgotten: ['approvals taken back: the connection is made or ended', ''],
  approve_map_full: [
    'deliveries or probes not approved: the map is full; a delivery is then refused, a probe taken for plaintext',
    'too many connects at once; see map_approvals_entries',
  ],
  guard_agent: ["packets of the agent's own sockets that left a captured pod", ''],
  guard_not_tcp: ['packets that left a captured pod and are not TCP: left alone', ''],
  guard_no_payload: ['TCP segments without data that left a captured pod: resets, acknowledgements', ''],
  guard_known_flow: ['TCP segments of answers to probes and of connections older than capture', ''],
  guard_dropped_socket: [
    'TCP segments of a pod dropped: their socket had found a way around capture and would have left in plaintext',
    "a program in the pod took the mark off a connection, or runs in a cgroup that is not the pod's; docs/security.md",
  ],
  guard_dropped_raw: [
    'TCP segments of a pod dropped: written into a raw or packet socket',
    'a program in the pod makes TCP of its own (a scanner, a load balancer); it cannot in a mesh',
  ],
  guard_dropped_forwarded: [
    'TCP segments dropped that a captured pod forwarded for somebody behind it',
    'the pod is a router: a VPN, or containers in a namespace of their own; it cannot be one in a mesh',
  ],
  guard_dropped_unreadable: [
    'packets of a pod dropped: more IPv6 extension headers, or shorter, than can be read',
    'a program in the pod makes packets of its own',
  ],
} as const satisfies Readonly<Record<string, CounterHelp>>;

/** What capture reads of itself and its maps. */
export const KERNEL_READINGS = {
  sweep_skipped: [
    'pods of the agent before that were left as they were at the start: not all of theirs could be read or undone',
    'look at the limit of open files and at memory; the next start tries again, until then nothing of theirs goes',
  ],
  old_flows_full: [
    'connections older than the capture of their pod cut off: too many are kept already',
    'see map_old_flows_entries; capture pods before they connect',
  ],
  guard_unsupported: [
    'pods captured without a guard: the kernel has no place for it',
    'Linux 6.6 or newer; until then keep CAP_NET_RAW from pods, and see docs/security.md',
  ],
  guard_devices_full: [
    'network devices of pods that nothing guards, at each look: a pod has more than 8',
    'find the pod with many devices; what leaves it by those is held by its marks only',
  ],
  map_pods_entries: ['captured pods in the map now', ''],
  map_pods_max: ['captured pods that the map takes', ''],
  map_addresses_entries: ['addresses of captured pods in the map now', ''],
  map_addresses_max: ['addresses that the map takes', ''],
  map_approvals_entries: ['approvals in the map now', ''],
  map_approvals_max: ['approvals that the map takes', ''],
  map_old_flows_entries: ['connections older than capture in the map now', ''],
  map_old_flows_max: ['connections older than capture that the map takes', ''],
} as const satisfies Readonly<Record<string, CounterHelp>>;
