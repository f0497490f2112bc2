// SPDX-License-Identifier: Apache-2.0
#include "kernel/rtnetlink.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "mesh_abi.h"

namespace groundwire {
namespace {

uint8_t ActionOf(const Rule& rule) {
  if (rule.table != 0) return FR_ACT_TO_TBL;
  if (rule.go_to != 0) return FR_ACT_GOTO;
  return rule.prohibit ? FR_ACT_PROHIBIT : FR_ACT_NOP;
}

NetlinkRequest RuleRequest(uint16_t type, uint16_t flags, const Rule& rule) {
  NetlinkRequest request(type, static_cast<uint16_t>(flags | NLM_F_ACK));
  fib_rule_hdr header = {};
  header.family = static_cast<uint8_t>(rule.family);
  header.action = ActionOf(rule);
  header.table = RT_TABLE_UNSPEC;
  request.AppendBody(&header, sizeof header);
  request.AppendU32(FRA_PRIORITY, rule.preference);
  if (rule.table != 0) request.AppendU32(FRA_TABLE, rule.table);
  if (rule.go_to != 0) request.AppendU32(FRA_GOTO, rule.go_to);
  if (rule.mark != 0) {
    request.AppendU32(FRA_FWMARK, rule.mark);
    request.AppendU32(FRA_FWMASK, UINT32_MAX);
  }
  if (rule.protocol != 0) request.AppendU8(FRA_IP_PROTO, rule.protocol);
  if (rule.source_ports.first != 0) {
    const fib_rule_port_range range = {rule.source_ports.first, rule.source_ports.last};
    request.AppendAttribute(FRA_SPORT_RANGE, &range, sizeof range);
  }
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

Status Named(Status status, int family, const std::string& what) {
  if (status.ok()) return status;
  if (!status.detail.empty()) status.detail += ", ";
  status.detail += std::string(family == AF_INET ? "IPv4, " : "IPv6, ") + what;
  return status;
}

Status Named(Status status, const Rule& rule) {
  return Named(std::move(status), rule.family, "rule " + std::to_string(rule.preference));
}

Status Named(Status status, const LoopRoute& route) {
  return Named(std::move(status), route.family, "table " + std::to_string(route.table));
}

/// The table of a route to this very host over lo, 0 of any other.
uint32_t ReadLoopTable(const nlmsghdr& answer) {
  const auto* message = static_cast<const rtmsg*>(NLMSG_DATA(&answer));
  uint32_t table = message->rtm_table;
  uint32_t device = 0;
  const auto* attribute = RTM_RTA(message);
  auto left = static_cast<int>(answer.nlmsg_len - NLMSG_LENGTH(sizeof *message));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (RTA_PAYLOAD(attribute) < sizeof(uint32_t)) continue;
    if (attribute->rta_type == RTA_TABLE) std::memcpy(&table, RTA_DATA(attribute), sizeof table);
    if (attribute->rta_type == RTA_OIF) std::memcpy(&device, RTA_DATA(attribute), sizeof device);
  }
  return message->rtm_type == RTN_LOCAL && device == MESH_IFINDEX_LO ? table : 0;
}

}  // namespace

Result<bool> AddRule(NetlinkSocket& netlink, const Rule& rule) {
  auto request = RuleRequest(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
  Status added = netlink.Request(request, "ip rule add");
  if (added.ok()) return true;
  if (added.errno_value == EEXIST) return false;
  return Named(std::move(added), rule);
}

Status RemoveRule(NetlinkSocket& netlink, const Rule& rule) {
  auto request = RuleRequest(RTM_DELRULE, 0, rule);
  return Named(Ignoring(netlink.Request(request, "ip rule del"), {ENOENT, EAFNOSUPPORT}), rule);
}

Status AddLoopRoute(NetlinkSocket& netlink, const LoopRoute& route) {
  auto request = RouteRequest(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
  return Named(netlink.Request(request, "ip route add local default dev lo"), route);
}

Status RemoveLoopRoute(NetlinkSocket& netlink, const LoopRoute& route) {
  auto request = RouteRequest(RTM_DELROUTE, 0, route);
  // ESRCH: no such route. ENOENT: no such table.
  return Named(Ignoring(netlink.Request(request, "ip route del local default dev lo"),
                        {ESRCH, ENOENT, EAFNOSUPPORT}),
               route);
}

Result<uint32_t> FindLoopTable(NetlinkSocket& netlink, const RouteQuery& query) {
  // Of the networks for documentation: nobody has a route of its own for these.
  const IpAddress anywhere =
      *IpAddress::Parse(query.family == AF_INET ? "192.0.2.1" : "2001:db8::1");
  NetlinkRequest request(RTM_GETROUTE, NLM_F_ACK);
  rtmsg header = {};
  header.rtm_family = static_cast<uint8_t>(query.family);
  header.rtm_dst_len = query.family == AF_INET ? 32 : 128;
  header.rtm_flags = RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE;
  request.AppendBody(&header, sizeof header);
  const bool v4 = query.family == AF_INET;
  request.AppendAttribute(RTA_DST, anywhere.bytes.data() + (v4 ? 12 : 0), v4 ? 4 : 16);
  if (query.mark != 0) request.AppendU32(RTA_MARK, query.mark);
  if (query.protocol != 0) request.AppendU8(RTA_IP_PROTO, query.protocol);
  const uint16_t port_be = htons(query.port);
  if (query.port != 0) request.AppendAttribute(RTA_DPORT, &port_be, sizeof port_be);
  uint32_t table = 0;
  Status asked = netlink.Dump(request, "ip route get",
                              [&table](const nlmsghdr& answer) { table = ReadLoopTable(answer); });
  // No route, or one that refuses, is an answer.
  const Status failed = Ignoring(std::move(asked), {ENETUNREACH, EHOSTUNREACH, EACCES});
  if (!failed.ok()) return failed;
  return table;
}

}  // namespace groundwire
