/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Addresses as mesh_abi.h stores them. These take values, never a context: the two families' contexts differ. */
#ifndef ADDRESS_BPF_H
#define ADDRESS_BPF_H

#include <bpf/bpf_endian.h>

#include "mesh_abi.h"

static __always_inline struct mesh_address mesh_address_from_v4(__be32 ip)
{
	struct mesh_address address = {.word = {0, 0, bpf_htonl(0xffff), ip}};

	return address;
}

static __always_inline int mesh_address_is_v4(const struct mesh_address *address)
{
	return address->word[0] == 0 && address->word[1] == 0 &&
	       address->word[2] == bpf_htonl(0xffff);
}

static __always_inline int mesh_address_equal(const volatile struct mesh_address *a,
					      const struct mesh_address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

/* 127.0.0.0/8 or ::1. */
static __always_inline int mesh_address_is_loopback(const struct mesh_address *address)
{
	if (mesh_address_is_v4(address))
		return (bpf_ntohl(address->word[3]) >> 24) == 127;
	return address->word[0] == 0 && address->word[1] == 0 && address->word[2] == 0 &&
	       address->word[3] == bpf_htonl(1);
}

/* 0.0.0.0 or ::, which mean "this host" to connect(). */
static __always_inline int mesh_address_is_unspecified(const struct mesh_address *address)
{
	return address->word[3] == 0 &&
	       (mesh_address_is_v4(address) ||
		(address->word[0] == 0 && address->word[1] == 0 && address->word[2] == 0));
}

/* fe80::/10. */
static __always_inline int mesh_address_is_link_local6(const struct mesh_address *address)
{
	return (bpf_ntohl(address->word[0]) >> 22) == (0xfe80 >> 6);
}

/*
 * One of the pod's own addresses. Unused slots are all zero, which no destination that gets here is. Volatile, because the
 * pod may be a program's constant: the compiler would otherwise use the initial zeros, not what is set before the load.
 */
static __always_inline int mesh_pod_owns(const volatile struct mesh_pod *pod,
					 const struct mesh_address *address)
{
#pragma unroll
	for (int i = 0; i < MESH_POD_ADDRESSES_MAX; i++) {
		if (mesh_address_equal(&pod->address[i], address))
			return 1;
	}
	return 0;
}

#endif
