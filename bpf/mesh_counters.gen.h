/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from src/telemetry/engine-counters.ts by scripts/gen.ts; edit that and run `npm run gen`. */
/* clang-format off */
#ifndef MESH_COUNTERS_H
#define MESH_COUNTERS_H

/* X(SYMBOL, "name"): every way out of every program. */
#define MESH_COUNTERS(X) \
  X(CONNECT_NOT_TCP, "connect_not_tcp") \
  X(CONNECT_NOT_CAPTURED, "connect_not_captured") \
  X(CONNECT_AGENT, "connect_agent") \
  X(CONNECT_LOOPBACK, "connect_loopback") \
  X(CONNECT_OWN_ADDRESS, "connect_own_address") \
  X(CONNECT_MARK_CLEARED, "connect_mark_cleared") \
  X(CONNECT_CAPTURED, "connect_captured") \
  X(CONNECT_REFUSED_DEVICE, "connect_refused_device") \
  X(CONNECT_REFUSED_LINK_LOCAL, "connect_refused_link_local") \
  X(CONNECT_REFUSED_FAMILY, "connect_refused_family") \
  X(CONNECT_REFUSED_MARK_FAILED, "connect_refused_mark_failed") \
  X(STEER_SELF, "steer_self") \
  X(STEER_APPROVED, "steer_approved") \
  X(STEER_OUTBOUND, "steer_outbound") \
  X(STEER_PLAINTEXT, "steer_plaintext") \
  X(STEER_HBONE, "steer_hbone") \
  X(STEER_DNS_UDP, "steer_dns_udp") \
  X(STEER_DNS_TCP, "steer_dns_tcp") \
  X(STEER_UDP_PASSED, "steer_udp_passed") \
  X(STEER_DROPPED_NO_LISTENER, "steer_dropped_no_listener") \
  X(STEER_DROPPED_DIRECT, "steer_dropped_direct") \
  X(STEER_DROPPED_ASSIGN_FAILED, "steer_dropped_assign_failed") \
  X(APPROVE_OTHER_EVENT, "approve_other_event") \
  X(APPROVE_NOT_DELIVERY, "approve_not_delivery") \
  X(APPROVE_NOT_POD, "approve_not_pod") \
  X(APPROVE_DELIVERY, "approve_delivery") \
  X(APPROVE_PROBE, "approve_probe") \
  X(APPROVE_FORGOTTEN, "approve_forgotten") \
  X(APPROVE_MAP_FULL, "approve_map_full") \
  X(GUARD_AGENT, "guard_agent") \
  X(GUARD_NOT_TCP, "guard_not_tcp") \
  X(GUARD_NO_PAYLOAD, "guard_no_payload") \
  X(GUARD_KNOWN_FLOW, "guard_known_flow") \
  X(GUARD_DROPPED_SOCKET, "guard_dropped_socket") \
  X(GUARD_DROPPED_RAW, "guard_dropped_raw") \
  X(GUARD_DROPPED_FORWARDED, "guard_dropped_forwarded") \
  X(GUARD_DROPPED_UNREADABLE, "guard_dropped_unreadable")

#endif
