/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Hook: sockops (Linux 4.13; netns cookie 5.15), twice: mesh_approve on the agent's cgroup, mesh_probe on the kubelet's.
 * The cgroup is the permission. The mark M2 only tells the agent's deliveries from its other connections.
 *
 * When a delivery (or a probe to a pod of this node) sends its SYN, its exact 4-tuple is approved; steer.bpf.c lets it
 * through. It is forgotten as soon as the application's side surely exists or the connection leaves ESTABLISHED:
 *
 *   TCP_CONNECT --> approved --> ACTIVE_ESTABLISHED --> first byte acknowledged (RTT) --> forgotten
 *                                                  \--> FIN or RST (STATE) -----------> forgotten
 *
 * What a socket cannot take back, because its pod or this program went first, the agent does when it releases the pod or
 * takes the node over (native/core/capture/capture_approvals.h).
 *
 * Not at ACTIVE_ESTABLISHED already: an application whose queue is short answers with a SYN cookie, and then it is our
 * last ACK, sent after that event, that looks for the listener.
 *
 * The return value of sockops means nothing here; what is not approved is steered to the agent. Ways out:
 *   approve_other_event, approve_not_delivery, approve_not_pod   nothing done
 *   approve_delivery, approve_probe, approve_forgotten           done
 *   approve_map_full                                             not approved
 *
 * A probe is a connection in which the pod answers for itself, which guard.bpf.c has to know for as long as the two talk.
 *
 * Maps: writes mesh_approvals, mesh_probe_flow (probe), mesh_counters; reads mesh_addresses (probe).
 */
#define MESH_USES_ADDRESSES
#define MESH_USES_APPROVALS
#define MESH_USES_PROBE_FLOWS
#include "lib/address.bpf.h"
#include "maps.bpf.h"

#define AF_INET 2

/* Fills in all but the namespace. An IPv6 socket with a mapped peer has mapped addresses here, as the map wants them. */
static __always_inline void read_tuple(struct bpf_sock_ops *ctx, struct mesh_approval *tuple)
{
	if (ctx->family == AF_INET) {
		tuple->client = mesh_address_from_v4(ctx->local_ip4);
		tuple->server = mesh_address_from_v4(ctx->remote_ip4);
		MESH_KEEP_CTX_READS();
	} else {
		tuple->client = (struct mesh_address){{ctx->local_ip6[0], ctx->local_ip6[1],
						       ctx->local_ip6[2], ctx->local_ip6[3]}};
		tuple->server = (struct mesh_address){{ctx->remote_ip6[0], ctx->remote_ip6[1],
						       ctx->remote_ip6[2], ctx->remote_ip6[3]}};
	}
	tuple->client_port = (__u16)ctx->local_port;
	/* Network order in 32 bits: the port is what ntohl leaves in the low half. */
	tuple->server_port = (__u16)bpf_ntohl(ctx->remote_port);
}

static __always_inline int approve(struct bpf_sock_ops *ctx, const struct mesh_approval *tuple,
				   enum mesh_counter counter)
{
	__u32 value = 0;

	if (bpf_map_update_elem(&mesh_approvals, tuple, &value, BPF_ANY))
		return mesh_exit(MESH_COUNTER_APPROVE_MAP_FULL, 1);
	/* Added to those that other sockops programs of the socket have asked for. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return mesh_exit(counter, 1);
}

/* What follows an approval on the same socket. The callbacks are asked for there, so no other socket gets here. */
static __always_inline int follow(struct bpf_sock_ops *ctx, const struct mesh_approval *tuple)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG)
			bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
							       BPF_SOCK_OPS_RTT_CB_FLAG);
		return mesh_exit(MESH_COUNTER_APPROVE_OTHER_EVENT, 1);
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_ESTABLISHED)
			return mesh_exit(MESH_COUNTER_APPROVE_OTHER_EVENT, 1);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		break;
	default:
		return mesh_exit(MESH_COUNTER_APPROVE_OTHER_EVENT, 1);
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~(BPF_SOCK_OPS_STATE_CB_FLAG |
								      BPF_SOCK_OPS_RTT_CB_FLAG));
	/* Nothing to forget: the agent did, or it was another program that asked for the callbacks of this socket. */
	if (bpf_map_delete_elem(&mesh_approvals, tuple))
		return mesh_exit(MESH_COUNTER_APPROVE_OTHER_EVENT, 1);
	return mesh_exit(MESH_COUNTER_APPROVE_FORGOTTEN, 1);
}

SEC("sockops")
int mesh_approve(struct bpf_sock_ops *ctx)
{
	struct mesh_approval tuple = {};
	struct bpf_sock *sk;

	read_tuple(ctx, &tuple);
	tuple.netns_cookie = bpf_get_netns_cookie(ctx);
	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
		return follow(ctx, &tuple);
	/* Copied to a local first: the verifier forgets a null check on a context field. */
	sk = ctx->sk;
	if (!sk || sk->mark != MESH_MARK_REPLY)
		return mesh_exit(MESH_COUNTER_APPROVE_NOT_DELIVERY, 1);
	return approve(ctx, &tuple, MESH_COUNTER_APPROVE_DELIVERY);
}

/* Never taken back: the application may go on sending when the prober has closed. The map gives the oldest up by itself. */
static __always_inline void remember_flow(const struct mesh_approval *tuple)
{
	struct mesh_flow flow = {
		.pod = tuple->server,
		.peer = tuple->client,
		.pod_port = tuple->server_port,
		.peer_port = tuple->client_port,
	};
	__u32 value = 0;

	bpf_map_update_elem(&mesh_probe_flow, &flow, &value, BPF_ANY);
}

/* The same hook on another cgroup: the prober is not in the pod's namespace, so the address tells which pod it means. */
SEC("sockops")
int mesh_probe(struct bpf_sock_ops *ctx)
{
	struct mesh_approval tuple = {};
	__u64 *cookie;

	read_tuple(ctx, &tuple);
	cookie = bpf_map_lookup_elem(&mesh_addresses, &tuple.server);
	if (!cookie)
		return mesh_exit(MESH_COUNTER_APPROVE_NOT_POD, 1);
	tuple.netns_cookie = *cookie;
	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
		return follow(ctx, &tuple);
	remember_flow(&tuple);
	return approve(ctx, &tuple, MESH_COUNTER_APPROVE_PROBE);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
