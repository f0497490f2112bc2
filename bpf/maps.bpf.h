/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Every map the programs share. "Agent" is the process that holds the lock on the pin directory; it makes all of them.
 *
 * map             one a  writer               reader            limit                   when full
 * mesh_pods       node   agent                connect           MESH_PODS_MAX           capture of the pod fails
 * mesh_addresses  node   agent                approve (probe)   MESH_ADDRESSES_MAX      capture of the pod fails
 * mesh_approvals  node   approve              steer             MESH_APPROVALS_MAX      approve_map_full; a delivery is refused
 * mesh_probe_flow node   approve (probe)      guard             MESH_PROBE_FLOWS_MAX    the least recently used goes
 * mesh_old_flows  node   agent                guard             MESH_OLD_FLOWS_MAX      old_flows_full; the connection is cut off
 * mesh_counters   node   every program        agent             MESH_COUNTERS_COUNT     fixed
 * mesh_listeners  pod    agent                steer             MESH_LISTENERS          fixed
 *
 * mesh_version and mesh_pod_state hold facts for the next agent; no program reads them, so the agent alone defines them.
 */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "mesh_abi.h"

#ifdef MESH_USES_PODS
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MESH_PODS_MAX);
	__type(key, __u64); /* netns cookie */
	__type(value, struct mesh_pod);
} mesh_pods SEC(".maps");
#endif

#ifdef MESH_USES_APPROVALS
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* a handful of entries most of the time */
	__uint(max_entries, MESH_APPROVALS_MAX);
	__type(key, struct mesh_approval);
	__type(value, __u32); /* always 0: that there is an entry says it */
} mesh_approvals SEC(".maps");
#endif

#ifdef MESH_USES_PROBE_FLOWS
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MESH_PROBE_FLOWS_MAX);
	__type(key, struct mesh_flow);
	__type(value, __u32); /* always 0 */
} mesh_probe_flow SEC(".maps");
#endif

#ifdef MESH_USES_OLD_FLOWS
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MESH_OLD_FLOWS_MAX);
	__type(key, struct mesh_flow);
	__type(value, __u32); /* always 0 */
} mesh_old_flows SEC(".maps");
#endif

#ifdef MESH_USES_ADDRESSES
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MESH_ADDRESSES_MAX);
	__type(key, struct mesh_address);
	__type(value, __u64); /* netns cookie */
} mesh_addresses SEC(".maps");
#endif

#ifdef MESH_USES_LISTENERS
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, MESH_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} mesh_listeners SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MESH_COUNTERS_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} mesh_counters SEC(".maps");

/*
 * Ends a branch that reads context fields. Without it clang merges the reads of two branches into one through a computed
 * address, and "dereference of modified ctx ptr" is what the verifier says to that.
 */
#define MESH_KEEP_CTX_READS() asm volatile("" ::: "memory")

static __always_inline void mesh_count(enum mesh_counter counter)
{
	__u32 key = counter;
	__u64 *value = bpf_map_lookup_elem(&mesh_counters, &key);

	if (value)
		*value += 1;
}

/* Counts and leaves: `return mesh_exit(MESH_COUNTER_…, verdict)` keeps a return and its reason on one line. */
static __always_inline int mesh_exit(enum mesh_counter counter, int verdict)
{
	mesh_count(counter);
	return verdict;
}

#endif
