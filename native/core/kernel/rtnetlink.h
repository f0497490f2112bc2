// SPDX-License-Identifier: Apache-2.0
// Rules and routes of a network namespace. Adding what is there and removing what is not are both
// success, so that a takeover and a second release need no bookkeeping.
#pragma once
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "kernel/netlink.h"

namespace groundwire {

struct PortRange {
  uint16_t first = 0;  // 0 = any port
  uint16_t last = 0;
};

/// `ip rule add pref P [fwmark M] [ipproto I] [sport A-B] [dport D] (lookup T | goto G | prohibit |
/// nop)`.
struct Rule {
  int family = 0;
  uint32_t preference = 0;
  uint32_t table = 0;  // 0 = none: go_to, or nothing but a place to go to
  uint32_t go_to = 0;  // preference of a later rule
  bool prohibit = false;
  uint32_t mark = 0;     // 0 = any
  uint8_t protocol = 0;  // 0 = any
  PortRange source_ports = {};
  uint16_t port = 0;  // destination; 0 = any
};

/// `ip route add local default dev lo table T [src S]`.
struct LoopRoute {
  int family = 0;
  uint32_t table = 0;
  std::optional<IpAddress> source;
};

/// A packet as rules look at it, to anywhere.
struct RouteQuery {
  int family = 0;
  uint32_t mark = 0;
  uint8_t protocol = 0;
  uint16_t port = 0;  // destination
};

/// False when it was there already.
Result<bool> AddRule(NetlinkSocket& netlink, const Rule& rule);
Status RemoveRule(NetlinkSocket& netlink, const Rule& rule);
Status AddLoopRoute(NetlinkSocket& netlink, const LoopRoute& route);
Status RemoveLoopRoute(NetlinkSocket& netlink, const LoopRoute& route);
/// The table by which such a packet is led back over lo; 0 when none does.
Result<uint32_t> FindLoopTable(NetlinkSocket& netlink, const RouteQuery& query);

}  // namespace groundwire
