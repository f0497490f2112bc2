/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Hook: cgroup/connect4 and connect6 (Linux 4.17; with bpf_setsockopt 5.8), attached once, on the ancestor of all pods.
 * Gives a captured connection the mark M1, which loops it over lo, where steer.bpf.c hands it to the agent. The address is
 * not rewritten, so the application's getpeername() and getsockname() stay true.
 *
 * Verdicts, first match wins:
 *   not TCP                                        pass     connect_not_tcp
 *   namespace not in mesh_pods                     pass     connect_not_captured
 *   the caller is the agent                        pass     connect_agent
 *   to loopback or 0.0.0.0 / ::                    pass     connect_loopback
 *   to an address of the pod                       pass     connect_own_address
 *   socket bound to a device                       refuse   connect_refused_device       skips M1's table: plaintext
 *   to fe80::/10                                   refuse   connect_refused_link_local   the kernel binds it to a device
 *   to a family the pod has no address of          refuse   connect_refused_family       has no table that loops
 *   otherwise                                      mark M1  connect_captured
 * A pass for a captured pod takes M1 off a socket that carries it from an earlier connect (connect_mark_cleared).
 * Refusal is EPERM. A mark that cannot be set or taken off refuses too: connect_refused_mark_failed.
 *
 * Maps: reads mesh_pods, writes mesh_counters.
 */
#define MESH_USES_PODS
#include "lib/address.bpf.h"
#include "maps.bpf.h"

#define MESH_REFUSE 0
#define MESH_PASS 1

#define SOL_SOCKET 1
#define SO_MARK 36
#define SOCK_STREAM 1
#define IPPROTO_TCP 6

/* The agent may live below the pods' ancestor (a DaemonSet does); its own sockets are told by its cgroup. 0 = elsewhere. */
const volatile __u64 agent_cgroup_id = 0;

static __always_inline int set_mark(struct bpf_sock_addr *ctx, __u32 mark)
{
	return bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

static __always_inline int pass(struct bpf_sock_addr *ctx, __u32 old_mark, enum mesh_counter why)
{
	if (old_mark == MESH_MARK_CAPTURE) {
		if (set_mark(ctx, 0))
			return mesh_exit(MESH_COUNTER_CONNECT_REFUSED_MARK_FAILED, MESH_REFUSE);
		mesh_count(MESH_COUNTER_CONNECT_MARK_CLEARED);
	}
	return mesh_exit(why, MESH_PASS);
}

static __always_inline int decide(struct bpf_sock_addr *ctx, const struct mesh_pod *pod,
				  const struct mesh_address *destination)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 family_flag;

	if (mesh_address_is_loopback(destination) || mesh_address_is_unspecified(destination))
		return pass(ctx, sk->mark, MESH_COUNTER_CONNECT_LOOPBACK);
	if (mesh_pod_owns(pod, destination))
		return pass(ctx, sk->mark, MESH_COUNTER_CONNECT_OWN_ADDRESS);
	if (sk->bound_dev_if)
		return mesh_exit(MESH_COUNTER_CONNECT_REFUSED_DEVICE, MESH_REFUSE);
	if (mesh_address_is_link_local6(destination))
		return mesh_exit(MESH_COUNTER_CONNECT_REFUSED_LINK_LOCAL, MESH_REFUSE);
	family_flag = mesh_address_is_v4(destination) ? MESH_POD_IPV4 : MESH_POD_IPV6;
	if (!(pod->flags & family_flag))
		return mesh_exit(MESH_COUNTER_CONNECT_REFUSED_FAMILY, MESH_REFUSE);
	if (set_mark(ctx, MESH_MARK_CAPTURE))
		return mesh_exit(MESH_COUNTER_CONNECT_REFUSED_MARK_FAILED, MESH_REFUSE);
	return mesh_exit(MESH_COUNTER_CONNECT_CAPTURED, MESH_PASS);
}

/* The pod whose connection this is, or NULL after counting why it is none of ours. */
static __always_inline struct mesh_pod *find_pod(struct bpf_sock_addr *ctx)
{
	struct mesh_pod *pod;
	__u64 cookie;

	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP) {
		mesh_count(MESH_COUNTER_CONNECT_NOT_TCP);
		return 0;
	}
	/* Of the socket's namespace, whatever namespace or cgroup the caller is in by now. */
	cookie = bpf_get_netns_cookie(ctx);
	pod = bpf_map_lookup_elem(&mesh_pods, &cookie);
	if (!pod) {
		mesh_count(MESH_COUNTER_CONNECT_NOT_CAPTURED);
		return 0;
	}
	if (agent_cgroup_id && bpf_get_current_cgroup_id() == agent_cgroup_id) {
		mesh_count(MESH_COUNTER_CONNECT_AGENT);
		return 0;
	}
	return pod;
}

SEC("cgroup/connect4")
int mesh_connect4(struct bpf_sock_addr *ctx)
{
	struct mesh_address destination = mesh_address_from_v4(ctx->user_ip4);
	struct mesh_pod *pod = find_pod(ctx);

	return pod ? decide(ctx, pod, &destination) : MESH_PASS;
}

/* An IPv4-mapped destination is stored as every IPv4 address is, so it needs no case of its own. */
SEC("cgroup/connect6")
int mesh_connect6(struct bpf_sock_addr *ctx)
{
	struct mesh_address destination = {
		.word = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};
	struct mesh_pod *pod = find_pod(ctx);

	return pod ? decide(ctx, pod, &destination) : MESH_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
