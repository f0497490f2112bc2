// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_routes.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "capture/capture_ports.h"
#include "kernel/netns.h"
#include "kernel/rtnetlink.h"

namespace groundwire {
namespace {

struct Sysctl {
  uint32_t bit;
  uint32_t family_flag;
  const char* path;
};

// tcp_fwmark_accept makes the application's socket inherit M2 (it serves both families).
// fwmark_reflect makes the answers the kernel gives without a socket carry it too: the reset of a
// closed port must reach the agent, not the client.
constexpr Sysctl kSysctls[] = {
    {MESH_SYSCTL_TCP_FWMARK_ACCEPT, MESH_POD_IPV4 | MESH_POD_IPV6,
     "/proc/sys/net/ipv4/tcp_fwmark_accept"},
    {MESH_SYSCTL_FWMARK_REFLECT4, MESH_POD_IPV4, "/proc/sys/net/ipv4/fwmark_reflect"},
    {MESH_SYSCTL_FWMARK_REFLECT6, MESH_POD_IPV6, "/proc/sys/net/ipv6/fwmark_reflect"},
};

constexpr uint32_t kTables[] = {MESH_TABLE_CAPTURE, MESH_TABLE_REPLY};
constexpr PortRange kDnsSourcePorts = {MESH_DNS_SOURCE_PORT_FIRST, MESH_DNS_SOURCE_PORT_LAST};

std::vector<int> Families(const mesh_pod& pod) {
  std::vector<int> families;
  if ((pod.flags & MESH_POD_IPV4) != 0) families.push_back(AF_INET);
  if ((pod.flags & MESH_POD_IPV6) != 0) families.push_back(AF_INET6);
  return families;
}

/// The first address of that family: what a captured connection of an unbound socket comes from.
std::optional<IpAddress> SourceOf(const mesh_pod& pod, int family) {
  for (const mesh_address& candidate : pod.address) {
    IpAddress address;
    std::memcpy(address.bytes.data(), &candidate, sizeof candidate);
    const bool v4 = address.is_v4();
    if ((v4 || !address.is_unspecified()) && v4 == (family == AF_INET)) return address;
  }
  return std::nullopt;
}

Rule ReplyRule(int family) {
  return {.family = family,
          .preference = MESH_RULE_REPLY,
          .table = MESH_TABLE_REPLY,
          .mark = MESH_MARK_REPLY};
}

Rule CaptureRule(int family) {
  return {.family = family,
          .preference = MESH_RULE_CAPTURE,
          .table = MESH_TABLE_CAPTURE,
          .mark = MESH_MARK_CAPTURE};
}

Rule DnsRule(int family) {
  return {.family = family,
          .preference = MESH_RULE_DNS,
          .table = MESH_TABLE_CAPTURE,
          .protocol = IPPROTO_UDP,
          .port = MESH_PORT_DNS};
}

/// A query of the agent itself: past the rules of capture, to whatever the pod's namespace has for
/// the resolver. The same rule stands for its answer, whose source the kernel looks up as if it
/// were a query.
Rule OwnDnsRule(int family) {
  return {.family = family,
          .preference = MESH_RULE_OWN_DNS,
          .go_to = MESH_RULE_END,
          .protocol = IPPROTO_UDP,
          .source_ports = kDnsSourcePorts,
          .port = MESH_PORT_DNS};
}

/// For what a mark's table has no route: a socket bound to a device, whose packets would go on to
/// the tables of the pod and leave it in plaintext.
Rule RefuseRule(int family, uint32_t preference, uint32_t mark) {
  return {.family = family, .preference = preference, .prohibit = true, .mark = mark};
}

Rule EndRule(int family) { return {.family = family, .preference = MESH_RULE_END}; }

std::array<Rule, 2> RefuseRules(int family) {
  return {RefuseRule(family, MESH_RULE_REFUSE_REPLY, MESH_MARK_REPLY),
          RefuseRule(family, MESH_RULE_REFUSE_CAPTURE, MESH_MARK_CAPTURE)};
}

/// In the order in which they come to be. DNS last: from then on the agent is asked, and asks.
std::vector<Rule> RulesOf(const mesh_pod& pod, int family) {
  std::vector<Rule> rules;
  for (const Rule& rule : RefuseRules(family)) rules.push_back(rule);
  rules.insert(rules.end(), {ReplyRule(family), CaptureRule(family)});
  if ((pod.flags & MESH_POD_DNS) != 0) {
    rules.insert(rules.end(), {EndRule(family), OwnDnsRule(family), DnsRule(family)});
  }
  return rules;
}

Status RemoveDnsRules(NetlinkSocket& netlink, int family) {
  Status first = Status::Ok();
  for (const Rule& rule : {DnsRule(family), OwnDnsRule(family), EndRule(family)}) {
    if (Status removed = RemoveRule(netlink, rule); first.ok()) first = std::move(removed);
  }
  return first;
}

LoopRoute RouteOf(const mesh_pod& pod, int family, uint32_t table) {
  if (table == MESH_TABLE_REPLY) return {family, table, {}};
  return {family, table, SourceOf(pod, family)};
}

Status InstallFamily(NetlinkSocket& netlink, const mesh_pod& pod, int family) {
  // Tables before the rules that point at them.
  for (const uint32_t table : kTables) {
    if (Status added = AddLoopRoute(netlink, RouteOf(pod, family, table)); !added.ok()) {
      return added;
    }
  }
  for (const Rule& rule : RulesOf(pod, family)) {
    if (auto added = AddRule(netlink, rule); !added.ok()) return added.status();
  }
  return (pod.flags & MESH_POD_DNS) != 0 ? Status::Ok() : RemoveDnsRules(netlink, family);
}

/// What has to be led over lo, and by which table.
std::vector<std::pair<RouteQuery, uint32_t>> LoopsOf(const mesh_pod& pod, int family) {
  std::vector<std::pair<RouteQuery, uint32_t>> loops = {
      {{.family = family, .mark = MESH_MARK_CAPTURE}, MESH_TABLE_CAPTURE},
      {{.family = family, .mark = MESH_MARK_REPLY}, MESH_TABLE_REPLY}};
  if ((pod.flags & MESH_POD_DNS) != 0) {
    loops.push_back(
        {{.family = family, .protocol = IPPROTO_UDP, .port = MESH_PORT_DNS}, MESH_TABLE_CAPTURE});
  }
  return loops;
}

Status RepairLoop(NetlinkSocket& netlink, const mesh_pod& pod, const RouteQuery& query,
                  uint32_t table, std::vector<std::string>* repaired) {
  auto found = FindLoopTable(netlink, query);
  if (!found.ok()) return found.status();
  if (found.value() == table) return Status::Ok();
  if (Status added = AddLoopRoute(netlink, RouteOf(pod, query.family, table)); !added.ok()) {
    return added;
  }
  found = FindLoopTable(netlink, query);
  if (!found.ok()) return found.status();
  if (found.value() == table) {
    repaired->push_back("table " + std::to_string(table));
    return Status::Ok();
  }
  return Status::Error("check routes", 0,
                       std::string(query.family == AF_INET ? "IPv4" : "IPv6") + ", table " +
                           std::to_string(table) +
                           ": another rule of the pod's namespace comes before that of capture");
}

Status RepairFamily(NetlinkSocket& netlink, const mesh_pod& pod, int family,
                    std::vector<std::string>* repaired) {
  for (const Rule& rule : RulesOf(pod, family)) {
    const auto added = AddRule(netlink, rule);
    if (!added.ok()) return added.status();
    if (added.value()) repaired->push_back("rule " + std::to_string(rule.preference));
  }
  for (const auto& [query, table] : LoopsOf(pod, family)) {
    if (Status done = RepairLoop(netlink, pod, query, table, repaired); !done.ok()) return done;
  }
  return Status::Ok();
}

Status RemoveFamily(NetlinkSocket& netlink, int family) {
  Status first = Status::Ok();
  const auto keep_first = [&first](Status status) {
    if (first.ok()) first = std::move(status);
  };
  keep_first(RemoveDnsRules(netlink, family));
  for (const Rule& rule : {CaptureRule(family), ReplyRule(family)}) {
    keep_first(RemoveRule(netlink, rule));
  }
  for (const Rule& rule : RefuseRules(family)) keep_first(RemoveRule(netlink, rule));
  for (const uint32_t table : kTables) {
    keep_first(RemoveLoopRoute(netlink, {family, table, std::nullopt}));
  }
  return first;
}

Result<char> ReadSysctl(const char* path) {
  UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  char value = 0;
  if (!fd.valid() || read(fd.get(), &value, 1) != 1)
    return Status::Error("read sysctl", errno, path);
  return value;
}

Status WriteSysctl(const char* path, char value) {
  UniqueFd fd(open(path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), &value, 1) != 1) {
    return Status::Error("write sysctl", errno, path);
  }
  return Status::Ok();
}

}  // namespace

Status InstallRoutes(int netns_fd, const mesh_pod& pod) {
  auto netlink = NetlinkSocket::Open(netns_fd, NETLINK_ROUTE);
  if (!netlink.ok()) return netlink.status();
  for (const int family : Families(pod)) {
    if (Status done = InstallFamily(netlink.value(), pod, family); !done.ok()) return done;
  }
  return Status::Ok();
}

Result<std::vector<std::string>> RepairRoutes(int netns_fd, const mesh_pod& pod) {
  auto netlink = NetlinkSocket::Open(netns_fd, NETLINK_ROUTE);
  if (!netlink.ok()) return netlink.status();
  std::vector<std::string> repaired;
  for (const int family : Families(pod)) {
    if (Status done = RepairFamily(netlink.value(), pod, family, &repaired); !done.ok()) {
      return done;
    }
  }
  return repaired;
}

Status RemoveDnsRules(int netns_fd, const mesh_pod& pod) {
  auto netlink = NetlinkSocket::Open(netns_fd, NETLINK_ROUTE);
  if (!netlink.ok()) return netlink.status();
  for (const int family : Families(pod)) {
    if (Status done = RemoveDnsRules(netlink.value(), family); !done.ok()) return done;
  }
  return Status::Ok();
}

Status RemoveRoutes(int netns_fd, const mesh_pod& pod) {
  auto netlink = NetlinkSocket::Open(netns_fd, NETLINK_ROUTE);
  if (!netlink.ok()) return netlink.status();
  Status first = Status::Ok();
  for (const int family : Families(pod)) {
    if (Status done = RemoveFamily(netlink.value(), family); first.ok()) first = std::move(done);
  }
  return first;
}

Result<uint32_t> FindSysctlsToChange(int netns_fd, const mesh_pod& pod) {
  return InNetns(netns_fd, [&]() -> Result<uint32_t> {
    uint32_t off = 0;
    for (const Sysctl& sysctl : kSysctls) {
      if ((pod.flags & sysctl.family_flag) == 0) continue;
      auto value = ReadSysctl(sysctl.path);
      if (!value.ok()) return value.status();
      if (value.value() == '0') off |= sysctl.bit;
    }
    if ((pod.flags & MESH_POD_DNS) != 0) {
      auto reserved = ArePortsReserved(kDnsSourcePorts);
      if (!reserved.ok()) return reserved.status();
      if (!reserved.value()) off |= MESH_SYSCTL_RESERVED_PORTS;
    }
    return off;
  });
}

Status SetSysctls(int netns_fd, uint32_t sysctls, bool on) {
  return InNetns(netns_fd, [&]() -> Status {
    Status first = Status::Ok();
    for (const Sysctl& sysctl : kSysctls) {
      if ((sysctls & sysctl.bit) == 0) continue;
      Status written = WriteSysctl(sysctl.path, on ? '1' : '0');
      if (first.ok()) first = std::move(written);
    }
    if ((sysctls & MESH_SYSCTL_RESERVED_PORTS) != 0) {
      Status written = on ? ReservePorts(kDnsSourcePorts) : FreePorts(kDnsSourcePorts);
      if (first.ok()) first = std::move(written);
    }
    return first;
  });
}

}  // namespace groundwire
