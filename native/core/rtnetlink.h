// SPDX-License-Identifier: Apache-2.0
// Rules and routes of a network namespace. Adding what is there and removing what is not are both
// success, so that a takeover and a second release need no bookkeeping.
#pragma once
#include <cstdint>
#include <optional>

#include "address.h"
#include "netlink.h"

namespace groundwire {

/// `ip rule add pref P [fwmark M] [ipproto I dport D] lookup T`.
struct Rule {
  int family = 0;
  uint32_t preference = 0;
  uint32_t table = 0;
  uint32_t mark = 0;     // 0 = any
  uint8_t protocol = 0;  // 0 = any
  uint16_t port = 0;     // destination; 0 = any
};

/// `ip route add local default dev lo table T [src S]`.
struct LoopRoute {
  int family = 0;
  uint32_t table = 0;
  std::optional<IpAddress> source;
};

Status AddRule(NetlinkSocket& netlink, const Rule& rule);
Status RemoveRule(NetlinkSocket& netlink, const Rule& rule);
Status AddLoopRoute(NetlinkSocket& netlink, const LoopRoute& route);
Status RemoveLoopRoute(NetlinkSocket& netlink, const LoopRoute& route);

}  // namespace groundwire
