// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/mesh_abi.h by scripts/gen.ts; edit that and run `npm run gen`.

/** Version of the pinned maps. */
export const MESH_ABI_VERSION = 2;

/** Sizes of the kernel's tables. */
export const MESH_LIMITS = {
  podsMax: 1024,
  podAddressesMax: 4,
  addressesMax: 4096,
  approvalsMax: 131072,
  probeFlowsMax: 32768,
  oldFlowsMax: 65536,
  podDevicesMax: 8,
  uidBytes: 64,
} as const;

/** Every counter of the kernel programs: what became of a connection, by the way out it took. */
export const MESH_COUNTERS = [
  'connect_not_tcp',
  'connect_not_captured',
  'connect_agent',
  'connect_loopback',
  'connect_own_address',
  'connect_mark_cleared',
  'connect_captured',
  'connect_refused_device',
  'connect_refused_link_local',
  'connect_refused_family',
  'connect_refused_mark_failed',
  'steer_self',
  'steer_approved',
  'steer_outbound',
  'steer_plaintext',
  'steer_hbone',
  'steer_dns_udp',
  'steer_dns_tcp',
  'steer_udp_passed',
  'steer_dropped_no_listener',
  'steer_dropped_direct',
  'steer_dropped_assign_failed',
  'approve_other_event',
  'approve_not_delivery',
  'approve_not_pod',
  'approve_delivery',
  'approve_probe',
  'approve_forgotten',
  'approve_map_full',
  'guard_agent',
  'guard_not_tcp',
  'guard_no_payload',
  'guard_known_flow',
  'guard_dropped_socket',
  'guard_dropped_raw',
  'guard_dropped_forwarded',
  'guard_dropped_unreadable',
] as const;
