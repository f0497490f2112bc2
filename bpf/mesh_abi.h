/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one header shared by the eBPF programs and the engine: what lies in the maps, under which names, with which limits.
 * Fixed widths, natural alignment, padding spelled out and always zero (hash keys compare it). A change of what a pinned map
 * holds, a struct, the meaning of a bit, a size, raises MESH_ABI_VERSION: pins of another version are refused, never
 * reinterpreted. One more counter is no such change: an agent that takes pins over makes mesh_counters as long as it needs.
 */
#ifndef MESH_ABI_H
#define MESH_ABI_H

#include <linux/types.h>

#include "mesh_counters.gen.h"

#ifdef __cplusplus
#define MESH_ABI_ASSERT(condition, text) static_assert(condition, text)
#else
#define MESH_ABI_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define MESH_ABI_SIZE(type, bytes)                                                                 \
	MESH_ABI_ASSERT(sizeof(type) == (bytes), #type " changed its size")
#define MESH_ABI_OFFSET(type, field, bytes)                                                        \
	MESH_ABI_ASSERT(__builtin_offsetof(type, field) == (bytes), #type "." #field " moved")

#define MESH_ABI_VERSION 2

/* Limits. How full the maps for pods, addresses and approvals are is told by gauges (NodeCapture::ReadCounters). */
#define MESH_PODS_MAX 1024
#define MESH_POD_ADDRESSES_MAX 4
#define MESH_ADDRESSES_MAX (MESH_PODS_MAX * MESH_POD_ADDRESSES_MAX)
#define MESH_APPROVALS_MAX 131072
/* The least recently used goes: after 100 s on a node that makes 300 probes a second. */
#define MESH_PROBE_FLOWS_MAX 32768
#define MESH_OLD_FLOWS_MAX 65536
/* Ways out of one pod that are guarded. */
#define MESH_POD_DEVICES_MAX 8
#define MESH_UID_BYTES 64

/* Map names are also the names of their pins. */
#define MESH_MAP_VERSION "mesh_version"
#define MESH_MAP_PODS "mesh_pods"
#define MESH_MAP_ADDRESSES "mesh_addresses"
#define MESH_MAP_APPROVALS "mesh_approvals"
#define MESH_MAP_COUNTERS "mesh_counters"
#define MESH_MAP_PROBE_FLOWS "mesh_probe_flow"
#define MESH_MAP_OLD_FLOWS "mesh_old_flows"
#define MESH_MAP_LISTENERS "mesh_listeners"
#define MESH_MAP_POD_STATE "mesh_pod_state"

/*
 * Marks. A mark is a route, never a permission: an application with CAP_NET_RAW can set either of them.
 * M1: a captured connection of an application, looped to the agent. M2: the agent's connection to an application under
 * the client's address; the application's side inherits it through tcp_fwmark_accept, so that its answers come back.
 */
#define MESH_MARK_CAPTURE 0x47570001u
#define MESH_MARK_REPLY 0x47570002u

/* Route tables and rule preferences in a pod's namespace: after `local` (0), before anything a CNI plugin is likely to add. */
#define MESH_TABLE_CAPTURE 47571
#define MESH_TABLE_REPLY 47572
#define MESH_RULE_OWN_DNS 470 /* the agent's own DNS queries go on behind MESH_RULE_END */
#define MESH_RULE_REPLY 471
#define MESH_RULE_CAPTURE 472
#define MESH_RULE_DNS 473
#define MESH_RULE_END 474
/* What a mark's table did not take is refused: its socket is bound to a device. */
#define MESH_RULE_REFUSE_REPLY 475
#define MESH_RULE_REFUSE_CAPTURE 476

#define MESH_PORT_HBONE 15008
#define MESH_PORT_DNS 53

/*
 * Source ports of the agent's own DNS queries from a pod's namespace. Not a mark: the kernel checks the source of an answer
 * by a route lookup with its ports swapped and without a mark, and MESH_RULE_DNS must not match that one either. Above the
 * ephemeral ports as Linux sets them, and reserved, so that no application gets one by chance (docs/adr/0014).
 */
#define MESH_DNS_SOURCE_PORT_FIRST 61000
#define MESH_DNS_SOURCE_PORT_LAST 64999

/* The loopback device has this index in every network namespace. */
#define MESH_IFINDEX_LO 1

/* IPv4 is stored mapped (::ffff:a.b.c.d): one type for both families. Words are in network order. */
struct mesh_address {
	__be32 word[4];
};
MESH_ABI_SIZE(struct mesh_address, 16);

#define MESH_POD_IPV4 (1u << 0) /* connections to IPv4 destinations can be captured */
#define MESH_POD_IPV6 (1u << 1) /* the same for IPv6 */
#define MESH_POD_DNS (1u << 2)	/* DNS has a listener */

/* Value of mesh_pods, keyed by the cookie of the pod's network namespace. */
struct mesh_pod {
	__u64 netns_cookie;
	__u32 pod;
	__u32 flags;
	struct mesh_address address[MESH_POD_ADDRESSES_MAX]; /* unused ones are all zero */
};
MESH_ABI_SIZE(struct mesh_pod, 80);
MESH_ABI_OFFSET(struct mesh_pod, address, 16);

/* Key of mesh_approvals: a connection that may reach the application of that namespace without being steered. */
struct mesh_approval {
	__u64 netns_cookie;
	struct mesh_address client;
	struct mesh_address server;
	__u16 client_port; /* host order */
	__u16 server_port; /* host order */
	__u32 _pad;
};
MESH_ABI_SIZE(struct mesh_approval, 48);
MESH_ABI_OFFSET(struct mesh_approval, client_port, 40);

/* Key of mesh_probe_flow and mesh_old_flows: a connection in which a captured pod may speak for itself. */
struct mesh_flow {
	struct mesh_address pod;
	struct mesh_address peer;
	__u16 pod_port;	 /* host order */
	__u16 peer_port; /* host order */
};
MESH_ABI_SIZE(struct mesh_flow, 36);
MESH_ABI_OFFSET(struct mesh_flow, pod_port, 32);

/* Slots of mesh_listeners, a sockmap without a program, one a pod. */
#define MESH_LISTENER_OUTBOUND 0
#define MESH_LISTENER_PLAINTEXT 1
#define MESH_LISTENER_HBONE 2
#define MESH_LISTENER_DNS_UDP 3
#define MESH_LISTENER_DNS_TCP 4
#define MESH_LISTENERS 5

/* Constants of a pod's steering program, by the name mesh_self. Nobody may connect to a listener by its port. */
struct mesh_steering {
	struct mesh_pod pod;
	__u16 listener_port[MESH_LISTENERS]; /* host order; 0 = none */
	__u16 _pad[3];
};
MESH_ABI_SIZE(struct mesh_steering, 96);
MESH_ABI_OFFSET(struct mesh_steering, listener_port, 80);

/* Sysctls as they were before capture, kept with the pins so that a later agent can put them back. */
#define MESH_SYSCTL_TCP_FWMARK_ACCEPT (1u << 0)
#define MESH_SYSCTL_FWMARK_REFLECT4 (1u << 1)
#define MESH_SYSCTL_FWMARK_REFLECT6 (1u << 2)
#define MESH_SYSCTL_RESERVED_PORTS (1u << 3) /* reserved ports lacked the DNS source ports */

/* The only entry of mesh_pod_state, one map a pod: what an agent must know to take the pod over or to give it back. */
struct mesh_pod_state {
	struct mesh_pod pod;
	__u64 netns_inode;
	__u32 sysctls_changed; /* MESH_SYSCTL_* */
	__u32 _pad;
	char uid[MESH_UID_BYTES]; /* zero-terminated */
};
MESH_ABI_SIZE(struct mesh_pod_state, 160);
MESH_ABI_OFFSET(struct mesh_pod_state, netns_inode, 80);

/*
 * Every way out of every program has a counter. connect_*: application connects; steer_*: connections and queries that
 * arrive; approve_*: tuples let through; guard_*: packets that leave a captured pod.
 */
enum mesh_counter {
#define MESH_COUNTER_ENUM(symbol, name) MESH_COUNTER_##symbol,
	MESH_COUNTERS(MESH_COUNTER_ENUM)
#undef MESH_COUNTER_ENUM
		MESH_COUNTERS_COUNT
};

#endif
