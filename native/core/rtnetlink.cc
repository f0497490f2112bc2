// SPDX-License-Identifier: Apache-2.0
#include "rtnetlink.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "mesh_abi.h"

namespace groundwire {
namespace {

NetlinkRequest RuleRequest(uint16_t type, uint16_t flags, const Rule& rule) {
  NetlinkRequest request(type, static_cast<uint16_t>(flags | NLM_F_ACK));
  fib_rule_hdr header = {};
  header.family = static_cast<uint8_t>(rule.family);
  header.action = FR_ACT_TO_TBL;
  header.table = RT_TABLE_UNSPEC;
  request.AppendBody(&header, sizeof header);
  request.AppendU32(FRA_PRIORITY, rule.preference);
  request.AppendU32(FRA_TABLE, rule.table);
  if (rule.mark != 0) {
    request.AppendU32(FRA_FWMARK, rule.mark);
    request.AppendU32(FRA_FWMASK, UINT32_MAX);
  }
  if (rule.protocol != 0) request.AppendU8(FRA_IP_PROTO, rule.protocol);
  if (rule.port != 0) {
    const fib_rule_port_range range = {rule.port, rule.port};
    request.AppendAttribute(FRA_DPORT_RANGE, &range, sizeof range);
  }
  return request;
}

NetlinkRequest RouteRequest(uint16_t type, uint16_t flags, const LoopRoute& route) {
  NetlinkRequest request(type, static_cast<uint16_t>(flags | NLM_F_ACK));
  rtmsg header = {};
  header.rtm_family = static_cast<uint8_t>(route.family);
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_LOCAL;
  // IPv6 ignores the scope, and a removal must name the one the route has.
  header.rtm_scope = route.family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  request.AppendBody(&header, sizeof header);
  request.AppendU32(RTA_TABLE, route.table);
  request.AppendU32(RTA_OIF, MESH_IFINDEX_LO);
  if (route.source) {
    const bool v4 = route.family == AF_INET;
    request.AppendAttribute(RTA_PREFSRC, route.source->bytes.data() + (v4 ? 12 : 0), v4 ? 4 : 16);
  }
  return request;
}

Status Ignoring(Status status, std::initializer_list<int> harmless) {
  for (const int error : harmless) {
    if (!status.ok() && status.errno_value == error) return Status::Ok();
  }
  return status;
}

std::string Describe(int family, uint32_t table) {
  return std::string(family == AF_INET ? "IPv4" : "IPv6") + ", table " + std::to_string(table);
}

Status Named(Status status, int family, uint32_t table) {
  if (!status.ok()) status.detail += (status.detail.empty() ? "" : ", ") + Describe(family, table);
  return status;
}

}  // namespace

Status AddRule(NetlinkSocket& netlink, const Rule& rule) {
  auto request = RuleRequest(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
  return Named(Ignoring(netlink.Request(request, "ip rule add"), {EEXIST}), rule.family,
               rule.table);
}

Status RemoveRule(NetlinkSocket& netlink, const Rule& rule) {
  auto request = RuleRequest(RTM_DELRULE, 0, rule);
  return Named(Ignoring(netlink.Request(request, "ip rule del"), {ENOENT, EAFNOSUPPORT}),
               rule.family, rule.table);
}

Status AddLoopRoute(NetlinkSocket& netlink, const LoopRoute& route) {
  auto request = RouteRequest(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
  return Named(netlink.Request(request, "ip route add local default dev lo"), route.family,
               route.table);
}

Status RemoveLoopRoute(NetlinkSocket& netlink, const LoopRoute& route) {
  auto request = RouteRequest(RTM_DELROUTE, 0, route);
  // ESRCH: no such route. ENOENT: no such table.
  return Named(Ignoring(netlink.Request(request, "ip route del local default dev lo"),
                        {ESRCH, ENOENT, EAFNOSUPPORT}),
               route.family, route.table);
}

}  // namespace groundwire
