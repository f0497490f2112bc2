// SPDX-License-Identifier: Apache-2.0
// What somebody undoes of a capture, in the pod or on the node, is found, named and put back.
#include <bpf/bpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "capture/capture_gate.h"
#include "check.h"
#include "kernel/bpf_pins.h"
#include "kernel/netns.h"
#include "kernel_world.h"
#include "mesh_abi.h"

namespace groundwire::world {
namespace {

std::string Told(const Result<std::vector<std::string>>& repair) {
  if (!repair.ok()) return repair.status().ToString();
  std::string told;
  for (const std::string& one : repair.value()) told += (told.empty() ? "" : ", ") + one;
  return told;
}

/// Several commands in pod a.
std::string InPodA(const std::string& commands) { return Shell("a", "sh -c '" + commands + "'"); }

std::string RulesAndRoutes() {
  std::string all;
  for (const char* family : {"-4", "-6"}) {
    for (const char* what : {" rule", " route show table 47571", " route show table 47572"}) {
      all += Shell("a", std::string("ip ") + family + what);
    }
  }
  return all;
}

/// Pod a connects, and the agent is who answers.
bool IsCaptured(Captured& world, const std::string& to) {
  Running visit = Start(PodA(), [&] { return Visit(to); });
  const int fd = Accept(world.a->listeners().outbound);
  if (fd >= 0) close(fd);
  return fd >= 0 && visit.Wait().starts_with("connected");
}

TEST("repair: a capture that nobody touched is left as it is") {
  Captured world;
  REQUIRE(world.ok());
  const std::string before = RulesAndRoutes();
  CHECK_EQ(Told(world.a->Repair()), "");
  CHECK_EQ(Told(world.node->Repair()), "");
  CHECK_EQ(RulesAndRoutes(), before);
}

TEST("repair: each rule that is removed in the pod is named and put back") {
  Captured world;
  REQUIRE(world.ok());
  const std::string before = RulesAndRoutes();
  for (const char* family : {"-4", "-6"}) {
    for (int rule = MESH_RULE_OWN_DNS; rule <= MESH_RULE_REFUSE_CAPTURE; ++rule) {
      const std::string preference = std::to_string(rule);
      CHECK_EQ(Shell("a", std::string("ip ") + family + " rule del pref " + preference), "");
      CHECK_EQ(Told(world.a->Repair()), "rule " + preference);
    }
  }
  InPodA("ip rule flush; ip rule add lookup main pref 32766; ip -6 rule flush");
  CHECK(Told(world.a->Repair()).find("rule 472") != std::string::npos);
  CHECK(IsCaptured(world, "10.201.0.2:8080"));
  CHECK(IsCaptured(world, "[fd77:a::2]:8080"));
  // What a flush takes besides is not ours to put back.
  InPodA(
      "ip rule add lookup local pref 0; ip -6 rule add lookup local pref 0; "
      "ip -6 rule add lookup main pref 32766; ip rule add lookup default pref 32767");
  CHECK_EQ(Told(world.a->Repair()), "");
}

TEST("repair: a table that is emptied, or leads elsewhere, is put right") {
  Captured world;
  REQUIRE(world.ok());
  const std::string before = RulesAndRoutes();
  InPodA("ip route flush table 47571; ip -6 route del local default dev lo table 47572");
  CHECK_EQ(Told(world.a->Repair()), "table 47571, table 47572");
  CHECK_EQ(RulesAndRoutes(), before);
  InPodA("ip route flush table 47571; ip route add default via 169.254.1.1 dev eth0 table 47571");
  CHECK_EQ(Told(world.a->Repair()), "table 47571");
  CHECK(IsCaptured(world, "10.201.0.2:8080"));
}

TEST("repair: a rule of the pod's own that comes before is told, it is not ours to remove") {
  Captured world;
  REQUIRE(world.ok());
  Shell("a", "ip rule add pref 10 lookup main");
  CHECK(Told(world.a->Repair()).find("another rule of the pod's namespace comes before") !=
        std::string::npos);
  Shell("a", "ip rule del pref 10");
  CHECK_EQ(Told(world.a->Repair()), "");
}

TEST("repair: sysctls are set again") {
  Captured world;
  REQUIRE(world.ok());
  Shell("a", "sysctl -qw net.ipv4.tcp_fwmark_accept=0 net.ipv4.ip_local_reserved_ports=");
  CHECK_EQ(Told(world.a->Repair()), "sysctls");
  CHECK_EQ(Shell("a", "sysctl -n net.ipv4.tcp_fwmark_accept"), "1\n");
}

TEST("repair: a listener that is ended listens again") {
  Captured world;
  REQUIRE(world.ok());
  // What SOCK_DESTROY does. In the pod `ss -K` cannot: the kernel looks for it through steer.bpf.c.
  Shell("a", "ss -K -l -t");
  CHECK_EQ(Told(world.a->Repair()), "");
  shutdown(world.a->listeners().outbound, SHUT_RD);
  CHECK_EQ(Told(world.a->Repair()), "listener 0");
  CHECK(IsCaptured(world, "10.201.0.2:8080"));
  CHECK_EQ(Told(world.a->Repair()), "");
}

TEST("repair: map entries that are gone are written again") {
  Captured world;
  REQUIRE(world.ok());
  auto pods = OpenPin(PreparePinParent(PinDirectory()).value() + "/" + MESH_MAP_PODS);
  REQUIRE(pods.ok());
  auto probe = SocketInNetns(world.a->netns_fd(), AF_INET, SOCK_DGRAM);
  const auto cookie = NetnsCookie(probe.value().get());
  REQUIRE(cookie.ok());
  CHECK_EQ(bpf_map_delete_elem(pods.value().get(), &cookie.value()), 0);
  CHECK_EQ(Told(world.a->Repair()), "map entries");
  CHECK(IsCaptured(world, "10.201.0.2:8080"));
}

TEST("repair: a device that comes to a pod is guarded, and let go of when it goes") {
  Captured world;
  REQUIRE(world.ok());
  Shell("a", "ip link add second type veth peer name end");
  CHECK_EQ(Told(world.a->Repair()), "");  // both ends are in the pod: no way out
  Shell("a", "ip link set end netns " + NetnsPath("b").substr(11));
  CHECK(Told(world.a->Repair()).starts_with("guard of device "));
  CHECK_EQ(Told(world.a->Repair()), "");
  Shell("a", "ip link del second");
  CHECK_EQ(Told(world.a->Repair()), "");
}

TEST("repair: programs that are detached on the node are attached again") {
  Captured world;
  REQUIRE(world.ok());
  const std::string pins = PreparePinParent(PinDirectory()).value();
  CHECK_EQ(RemovePins(pins + "/link_connect4").ToString(), "ok");
  CHECK_EQ(Told(world.node->Repair()), "link_connect4");
  CHECK(IsCaptured(world, "10.201.0.2:8080"));
  auto steer = OpenPin(pins + "/pods/pod+a/link_steer");
  REQUIRE(steer.ok());
  CHECK_EQ(bpf_link_detach(steer.value().get()), 0);
  CHECK_EQ(Told(world.a->Repair()), "steering program");
  CHECK(IsCaptured(world, "10.201.0.2:8080"));
}

}  // namespace
}  // namespace groundwire::world
