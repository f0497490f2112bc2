/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Hook: tcx (Linux 6.6), on every way out of a captured pod: where its packets enter the node, which is beyond the reach of
 * everybody in the pod, or, for a device without an end on the node, where they leave the device.
 *
 * connect.bpf.c leads what applications open to the agent; this is what holds when somebody finds a way around it: a mark
 * taken off, a device chosen, a raw socket, a process in another cgroup, a namespace behind the pod's. It asks one question:
 * is it the agent that sends? Only its sockets may send TCP out of a captured pod. Verdicts, first match wins:
 *   a socket of the agent's cgroup                           pass    guard_agent
 *   not TCP (not IP, UDP, ICMP, ...)                         pass    guard_not_tcp
 *   no end of the IPv6 headers within reach                  drop    guard_dropped_unreadable
 *   neither data nor a SYN that opens                        pass    guard_no_payload
 *   answer to a probe, or connection older than capture      pass    guard_known_flow
 *   from a stream socket                                     drop    guard_dropped_socket
 *   from a raw or packet socket                              drop    guard_dropped_raw
 *   from no socket: forwarded by the pod                     drop    guard_dropped_forwarded
 * What carries no data are the kernel's own answers: resets, acknowledgements of a connection that has ended, SYN cookies.
 * They belong to no socket, and nothing can be said by them. A fragment that is not the first counts as data.
 *
 * Maps: reads mesh_probe_flow, mesh_old_flows; writes mesh_counters.
 */
#define MESH_USES_PROBE_FLOWS
#define MESH_USES_OLD_FLOWS
#include "lib/address.bpf.h"
#include "maps.bpf.h"

#define PASS -1 /* TCX_NEXT: other programs of the device still have their say */
#define DROP 2	/* TCX_DROP */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define SOCK_STREAM 1
#define IPPROTO_HOPOPTS 0
#define IPPROTO_TCP 6
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH 51
#define IPPROTO_DSTOPTS 60
#define IPV4_HEADER_BYTES 20
#define IPV6_HEADER_BYTES 40
#define IPV6_HEADERS_MAX 8 /* RFC 8200 has use for seven */
#define TCP_HEADER_BYTES 20
#define TCP_SYN 0x02
#define TCP_ACK 0x10

const volatile __u64 agent_cgroup_id = 0;

enum content {
	NOT_TCP,
	TCP,
	TCP_REST, /* a fragment without the TCP header */
	UNREADABLE,
};

struct packet {
	struct mesh_flow flow;
	__u32 tcp_at; /* from the start of the IP header */
	__u32 bytes;  /* the same; 0 = more than the header can say */
};

/* From the start of the IP header. 0, or negative when the packet is shorter. */
static __always_inline long load(struct __sk_buff *skb, __u32 at, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes_relative(skb, at, to, bytes, BPF_HDR_START_NET);
}

static __always_inline enum content read_v4(struct __sk_buff *skb, struct packet *packet)
{
	__u8 header[IPV4_HEADER_BYTES];
	__be32 source, destination;

	if (load(skb, 0, header, sizeof(header)))
		return UNREADABLE;
	if (header[9] != IPPROTO_TCP)
		return NOT_TCP;
	if (header[7] || (header[6] & 0x1f))
		return TCP_REST;
	__builtin_memcpy(&source, header + 12, sizeof(source));
	__builtin_memcpy(&destination, header + 16, sizeof(destination));
	packet->flow.pod = mesh_address_from_v4(source);
	packet->flow.peer = mesh_address_from_v4(destination);
	packet->tcp_at = (header[0] & 0xf) * 4;
	packet->bytes = (__u32)header[2] << 8 | header[3];
	return TCP;
}

/* Where the headers lead that stand between IPv6 and TCP. */
static __always_inline enum content skip_v6_headers(struct __sk_buff *skb, __u8 next,
						    struct packet *packet)
{
	__u32 at = IPV6_HEADER_BYTES;
	__u8 header[4];

#pragma unroll
	for (int i = 0; i < IPV6_HEADERS_MAX; i++) {
		if (next == IPPROTO_TCP) {
			packet->tcp_at = at;
			return TCP;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH && next != IPPROTO_DSTOPTS)
			return NOT_TCP;
		if (load(skb, at, header, sizeof(header)))
			return UNREADABLE;
		if (next == IPPROTO_FRAGMENT) {
			if (header[2] || (header[3] & 0xf8))
				return header[0] == IPPROTO_TCP ? TCP_REST : NOT_TCP;
			at += 8;
		} else {
			at += next == IPPROTO_AH ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
		}
		next = header[0];
	}
	return UNREADABLE;
}

static __always_inline enum content read_v6(struct __sk_buff *skb, struct packet *packet)
{
	__u8 header[IPV6_HEADER_BYTES];
	__u32 payload;

	if (load(skb, 0, header, sizeof(header)))
		return UNREADABLE;
	__builtin_memcpy(&packet->flow.pod, header + 8, sizeof(packet->flow.pod));
	__builtin_memcpy(&packet->flow.peer, header + 24, sizeof(packet->flow.peer));
	payload = (__u32)header[4] << 8 | header[5];
	packet->bytes = payload ? payload + IPV6_HEADER_BYTES : 0;
	return skip_v6_headers(skb, header[6], packet);
}

static __always_inline int drop(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk)
		return mesh_exit(MESH_COUNTER_GUARD_DROPPED_FORWARDED, DROP);
	if (sk->type == SOCK_STREAM)
		return mesh_exit(MESH_COUNTER_GUARD_DROPPED_SOCKET, DROP);
	return mesh_exit(MESH_COUNTER_GUARD_DROPPED_RAW, DROP);
}

static __always_inline int judge_tcp(struct __sk_buff *skb, struct packet *packet)
{
	__u8 header[TCP_HEADER_BYTES];
	__u32 headers;

	if (load(skb, packet->tcp_at, header, sizeof(header)))
		return mesh_exit(MESH_COUNTER_GUARD_DROPPED_UNREADABLE, DROP);
	headers = packet->tcp_at + (header[12] >> 4) * 4;
	/* What is cut into segments later has data, whatever length its sender has written into the one header. */
	if (!skb->gso_size && packet->bytes && packet->bytes <= headers &&
	    (header[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return mesh_exit(MESH_COUNTER_GUARD_NO_PAYLOAD, PASS);
	packet->flow.pod_port = (__u16)header[0] << 8 | header[1];
	packet->flow.peer_port = (__u16)header[2] << 8 | header[3];
	if (bpf_map_lookup_elem(&mesh_probe_flow, &packet->flow) ||
	    bpf_map_lookup_elem(&mesh_old_flows, &packet->flow))
		return mesh_exit(MESH_COUNTER_GUARD_KNOWN_FLOW, PASS);
	return drop(skb);
}

SEC("tc")
int mesh_guard(struct __sk_buff *skb)
{
	struct packet packet = {};
	enum content content = NOT_TCP;

	if (agent_cgroup_id && bpf_skb_cgroup_id(skb) == agent_cgroup_id)
		return mesh_exit(MESH_COUNTER_GUARD_AGENT, PASS);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		content = read_v4(skb, &packet);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		content = read_v6(skb, &packet);
	switch (content) {
	case NOT_TCP:
		return mesh_exit(MESH_COUNTER_GUARD_NOT_TCP, PASS);
	case TCP:
		return judge_tcp(skb, &packet);
	case TCP_REST:
		return drop(skb);
	default:
		return mesh_exit(MESH_COUNTER_GUARD_DROPPED_UNREADABLE, DROP);
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
