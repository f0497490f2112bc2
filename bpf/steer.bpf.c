/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Hook: sk_lookup (Linux 5.9; ingress_ifindex 5.17), loaded once a pod and attached to its network namespace.
 * Once a pod, because the program type can neither ask for the namespace it runs in nor does bpf_sk_assign check it: a map
 * shared by pods would hand one pod's connection to another pod's listener, where it hangs. So each pod's program has its
 * own sockmap and knows its pod as constants.
 *
 * Runs for new TCP connections and unconnected UDP only; established connections never get here. Verdicts, first match wins:
 *   to loopback, or between the pod's own addresses:
 *     to a listener's own port                             drop              steer_dropped_direct
 *     otherwise                                            pass              steer_self
 *   UDP over lo to port 53, DNS captured                   DNS listener      steer_dns_udp
 *   other UDP                                              pass              steer_udp_passed
 *   approved by approve.bpf.c                              pass              steer_approved
 *   TCP over lo to port 53, DNS captured                   DNS listener      steer_dns_tcp
 *   TCP over lo                                            outbound          steer_outbound
 *   TCP to port 15008                                      HBONE             steer_hbone
 *   other TCP                                              plaintext         steer_plaintext
 * A listener that is missing (no agent) drops: steer_dropped_no_listener. A client on the network is reset; for a looped
 * SYN the kernel finds no way to send a reset, so the application's connect waits and goes on when an agent is back.
 * "Over lo" means marked M1 and only that: a connection to the pod's own address reports the device that owns it.
 *
 * Maps: reads mesh_listeners, mesh_approvals; writes mesh_counters.
 */
#define MESH_USES_APPROVALS
#define MESH_USES_LISTENERS
#include "lib/address.bpf.h"
#include "maps.bpf.h"

#define AF_INET 2
#define IPPROTO_UDP 17

/* The pod this copy of the program serves; set between open and load, so that the verifier folds it into the code. */
const volatile struct mesh_steering mesh_self = {};

static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 slot, enum mesh_counter counter)
{
	struct bpf_sock *listener = bpf_map_lookup_elem(&mesh_listeners, &slot);
	long failed;

	if (!listener)
		return mesh_exit(MESH_COUNTER_STEER_DROPPED_NO_LISTENER, SK_DROP);
	failed = bpf_sk_assign(ctx, listener, 0);
	bpf_sk_release(listener);
	if (failed)
		return mesh_exit(MESH_COUNTER_STEER_DROPPED_ASSIGN_FAILED, SK_DROP);
	return mesh_exit(counter, SK_PASS);
}

static __always_inline int is_here(const struct mesh_address *address)
{
	return mesh_address_is_loopback(address) || mesh_pod_owns(&mesh_self.pod, address);
}

/*
 * One of the agent's listeners, by its own port. It has to be bound to the wildcard (any other address makes it IPv6
 * only), so the pod can find it; what comes that way has no original destination and nobody's approval.
 */
static __always_inline int is_listener(__u32 protocol, __u32 port)
{
#pragma unroll
	for (int i = 0; i < MESH_LISTENERS; i++) {
		if ((i == MESH_LISTENER_DNS_UDP) == (protocol == IPPROTO_UDP) &&
		    mesh_self.listener_port[i] == port)
			return 1;
	}
	return 0;
}

static __always_inline int is_approved(struct bpf_sk_lookup *ctx, const struct mesh_address *client,
				       const struct mesh_address *server)
{
	struct mesh_approval approval = {
		.netns_cookie = mesh_self.pod.netns_cookie,
		.client = *client,
		.server = *server,
		.client_port = bpf_ntohs(ctx->remote_port),
		.server_port = (__u16)ctx->local_port,
	};

	return bpf_map_lookup_elem(&mesh_approvals, &approval) != 0;
}

static __always_inline int steer_tcp(struct bpf_sk_lookup *ctx, int to_dns)
{
	if (ctx->ingress_ifindex == MESH_IFINDEX_LO) {
		if (to_dns)
			return assign(ctx, MESH_LISTENER_DNS_TCP, MESH_COUNTER_STEER_DNS_TCP);
		return assign(ctx, MESH_LISTENER_OUTBOUND, MESH_COUNTER_STEER_OUTBOUND);
	}
	if (ctx->local_port == MESH_PORT_HBONE)
		return assign(ctx, MESH_LISTENER_HBONE, MESH_COUNTER_STEER_HBONE);
	return assign(ctx, MESH_LISTENER_PLAINTEXT, MESH_COUNTER_STEER_PLAINTEXT);
}

SEC("sk_lookup")
int mesh_steer(struct bpf_sk_lookup *ctx)
{
	struct mesh_address remote, local;
	int to_dns;

	if (ctx->family == AF_INET) {
		remote = mesh_address_from_v4(ctx->remote_ip4);
		local = mesh_address_from_v4(ctx->local_ip4);
		MESH_KEEP_CTX_READS();
	} else {
		remote = (struct mesh_address){{ctx->remote_ip6[0], ctx->remote_ip6[1],
						ctx->remote_ip6[2], ctx->remote_ip6[3]}};
		local = (struct mesh_address){{ctx->local_ip6[0], ctx->local_ip6[1],
					       ctx->local_ip6[2], ctx->local_ip6[3]}};
	}
	if (mesh_address_is_loopback(&local) || (is_here(&local) && is_here(&remote))) {
		if (is_listener(ctx->protocol, ctx->local_port))
			return mesh_exit(MESH_COUNTER_STEER_DROPPED_DIRECT, SK_DROP);
		return mesh_exit(MESH_COUNTER_STEER_SELF, SK_PASS);
	}
	to_dns = (mesh_self.pod.flags & MESH_POD_DNS) && ctx->local_port == MESH_PORT_DNS;
	if (ctx->protocol == IPPROTO_UDP) {
		if (to_dns && ctx->ingress_ifindex == MESH_IFINDEX_LO)
			return assign(ctx, MESH_LISTENER_DNS_UDP, MESH_COUNTER_STEER_DNS_UDP);
		return mesh_exit(MESH_COUNTER_STEER_UDP_PASSED, SK_PASS);
	}
	if (is_approved(ctx, &remote, &local))
		return mesh_exit(MESH_COUNTER_STEER_APPROVED, SK_PASS);
	return steer_tcp(ctx, to_dns);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
