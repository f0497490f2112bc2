// SPDX-License-Identifier: Apache-2.0
// How capture begins, ends, is taken over, and fails.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "capture/capture_listeners.h"
#include "capture/kernel_probe.h"
#include "check.h"
#include "kernel/netlink.h"
#include "kernel_world.h"
#include "mesh_abi.h"

namespace groundwire::world {
namespace {

/// All that capture may change, as text.
std::string Footprint() {
  std::string text;
  for (const char* pod : {"a", "b"}) {
    for (const char* family : {"-4", "-6"}) {
      text += Shell(pod, std::string("ip ") + family + " rule");
      // Link-local addresses come up in their own time.
      text += Shell(pod, std::string("ip ") + family + " route show table all | grep -v fe80::");
    }
    text +=
        Shell(pod,
              "sysctl net.ipv4.tcp_fwmark_accept net.ipv4.fwmark_reflect net.ipv6.fwmark_reflect "
              "net.ipv4.ip_local_reserved_ports");
    text += Shell(pod, "ss -aHtun");
  }
  const std::string root = PinDirectory().substr(0, PinDirectory().rfind("/node"));
  if (std::filesystem::exists(root)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (!entry.is_directory()) text += entry.path().string() + "\n";
    }
  }
  for (const char* cgroup : {"pods", "agent", "probe"}) {
    const int fd = open(CgroupPath(cgroup).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const auto type :
         {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_SOCK_OPS}) {
      uint32_t ids[16] = {};
      uint32_t count = 16;
      bpf_prog_query(fd, type, 0, nullptr, ids, &count);
      text += std::to_string(count) + " programs\n";
    }
    close(fd);
  }
  return text;
}

/// As it is spelled there, without dots.
std::string PinDirectoryInBpffs() {
  std::string directory = PinDirectory();
  return directory.replace(directory.find("node.one"), 8, "node+one");
}

UniqueFd PinnedMap(const std::string& name) {
  return UniqueFd(bpf_obj_get((PinDirectoryInBpffs() + "/" + name).c_str()));
}

/// As a socket would leave it that ended when nobody looked.
void LeaveApproval(uint64_t netns_cookie) {
  mesh_approval approval = {};
  approval.netns_cookie = netns_cookie;
  approval.client_port = 1;
  const uint32_t value = 0;
  const UniqueFd map = PinnedMap(MESH_MAP_APPROVALS);
  CHECK_EQ(bpf_map_update_elem(map.get(), &approval, &value, BPF_ANY), 0);
}

uint64_t Counter(NodeCapture& node, const std::string& name) {
  auto counters = node.ReadCounters();
  if (!counters.ok()) return UINT64_MAX;
  for (const auto& [counter, value] : counters.value()) {
    if (counter == name) return value;
  }
  return UINT64_MAX;
}

/// An agent in a process of its own, so that it can be killed; says "ready", then waits for its
/// end.
Running OtherAgent() {
  return Start({"router", "agent"}, [] {
    auto node = NodeCapture::Open(NodeOptions());
    if (!node.ok()) return node.status().ToString();
    auto pod = node.value()->CapturePod(PodOptions("a"));
    if (!pod.ok()) return pod.status().ToString();
    pause();
    return std::string();
  });
}

/// Until `done` holds; ten seconds at the most.
void WaitUntil(const std::function<bool()>& done) {
  for (int tries = 0; tries < 500 && !done(); ++tries) usleep(20'000);
}

/// The gate is the last step.
void WaitCaptured() {
  WaitUntil([] {
    uint64_t cookie = 0;
    return bpf_map_get_next_key(PinnedMap(MESH_MAP_PODS).get(), nullptr, &cookie) == 0;
  });
}

TEST("lifecycle: release leaves nothing behind") {
  const std::string before = Footprint();
  {
    Captured world;
    CHECK(world.ok());
    CHECK(Footprint() != before);
  }
  CHECK_EQ(Footprint(), before);
}

TEST("lifecycle: a sysctl that was on before stays on") {
  Shell("a", "sysctl -qw net.ipv4.tcp_fwmark_accept=1");
  { Captured world; }
  CHECK_EQ(Shell("a", "sysctl -n net.ipv4.tcp_fwmark_accept"), "1\n");
  Shell("a", "sysctl -qw net.ipv4.tcp_fwmark_accept=0");
}

TEST("lifecycle: ports that somebody reserved before stay reserved") {
  const std::string read = "sysctl -n net.ipv4.ip_local_reserved_ports";
  Shell("a", "sysctl -qw net.ipv4.ip_local_reserved_ports=8080,60990-60999,65000-65535");
  {
    Captured world;
    CHECK_EQ(Shell("a", read), "8080,60990-65535\n");
  }
  CHECK_EQ(Shell("a", read), "8080,60990-60999,65000-65535\n");
  Shell("a", "sysctl -qw net.ipv4.ip_local_reserved_ports=60000-65535");
  { Captured world; }
  CHECK_EQ(Shell("a", read), "60000-65535\n");
  Shell("a", "sysctl -qw net.ipv4.ip_local_reserved_ports=");
}

TEST("lifecycle: reserved ports that fill many pages are read and put back whole") {
  // Every second port, as the kernel says it: five pages.
  std::string reserved = "20001";
  for (int port = 20003; port < 26000; port += 2) reserved += "," + std::to_string(port);
  const std::string path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
  const auto set = [&](const std::string& text) {
    return Run({"a", ""}, [&]() -> std::string {
      const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
      for (size_t at = 0; at < text.size();) {
        const ssize_t size = write(fd.get(), text.data() + at, text.size() - at);
        if (size <= 0) return ErrnoName(errno);
        at += static_cast<size_t>(size);
      }
      return "";
    });
  };
  CHECK_EQ(set(reserved + "\n"), "");
  CHECK(Shell("a", "cat " + path) == reserved + "\n");
  {
    Captured world;
    CHECK(Shell("a", "cat " + path) == reserved + ",61000-64999\n");
  }
  CHECK(Shell("a", "cat " + path) == reserved + "\n");
  CHECK_EQ(set("\n"), "");
}

TEST("lifecycle: fails closed after kill -9 of the agent, and the next one takes over") {
  Running server = StartServer(PodB(), "8080", [] {
    const int listener = Listen("0.0.0.0:8080");
    for (;;) {
      const int fd = accept(listener, nullptr, nullptr);
      WriteAll(fd, "plaintext");
      close(fd);
    }
    return std::string();
  });
  CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.2:8080"); }),
           "connected 10.201.0.2:8080 10.201.0.1 plaintext");
  const std::string before = Footprint();
  Running agent = OtherAgent();
  WaitCaptured();
  agent.Kill();
  CHECK_EQ(agent.Wait(), "");
  // Two seconds of SYNs into nowhere, as SO_SNDTIMEO reports it; the kernel would go on trying
  // until an agent is back.
  CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.2:8080"); }), "EINPROGRESS");
  CHECK_EQ(Run(Router(), [] { return Visit("10.201.0.1:8080"); }), "ECONNREFUSED");
  {
    auto node = NodeCapture::Open(NodeOptions());
    CHECK_EQ(node.status().ToString(), "ok");
    REQUIRE(node.ok());
    // Begun while nobody listens; it is a captured connection once somebody does.
    const uint64_t dropped = Counter(*node.value(), "steer_dropped_no_listener");
    Running early = Start(PodA(), [] { return Visit("10.201.0.2:8081"); });
    WaitUntil([&] { return Counter(*node.value(), "steer_dropped_no_listener") > dropped; });
    auto pod = node.value()->CapturePod(PodOptions("a"));
    CHECK_EQ(pod.status().ToString(), "ok");
    REQUIRE(pod.ok());
    const int waited = Accept(pod.value()->listeners().outbound);
    CHECK(waited >= 0);
    WriteAll(waited, "waited");
    close(waited);
    CHECK_EQ(early.Wait(), "connected 10.201.0.2:8081 10.201.0.1 waited");
    Running visit = Start(PodA(), [] { return Visit("10.201.0.2:8080"); });
    const int fd = Accept(pod.value()->listeners().outbound);
    CHECK(fd >= 0);
    WriteAll(fd, "agent");
    close(fd);
    CHECK_EQ(visit.Wait(), "connected 10.201.0.2:8080 10.201.0.1 agent");
    CHECK(Counter(*node.value(), "steer_dropped_no_listener") >= 3u);
    CloseAll(pod.value()->listeners());
    CHECK_EQ(pod.value()->Release().ToString(), "ok");
  }
  // The kernel lets go of a program some time after its pin.
  std::string visited;
  WaitUntil([&] {
    visited = Run(PodA(), [] { return Visit("10.201.0.2:8080"); });
    return visited.starts_with("connected");
  });
  CHECK_EQ(visited, "connected 10.201.0.2:8080 10.201.0.1 plaintext");
  CHECK_EQ(Shell("a", "ip rule").find("4757"), std::string::npos);
  CHECK(before.find("4757") == std::string::npos);
  server.Kill();
}

TEST("lifecycle: a second agent on the node is refused and told who is there") {
  Running agent = OtherAgent();
  WaitCaptured();
  auto second = NodeCapture::Open(NodeOptions());
  CHECK(!second.ok());
  CHECK_EQ(second.status().errno_value, EBUSY);
  CHECK(second.status().detail.find("process " + std::to_string(agent.pid())) != std::string::npos);
  agent.Kill();
  agent.Wait();
  Captured clean;
  CHECK(clean.ok());
}

TEST("lifecycle: StopSteering gives new connections back, live ones end by themselves") {
  Captured world;
  REQUIRE(world.ok());
  Running live = Start(PodA(), [] { return Visit("10.201.0.2:8080"); });
  const int fd = Accept(world.a->listeners().outbound);
  REQUIRE(fd >= 0);
  CHECK_EQ(world.a->StopSteering().ToString(), "ok");
  CHECK_EQ(world.b->StopSteering().ToString(), "ok");
  CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.2:8080"); }), "ECONNREFUSED");
  WriteAll(fd, "still here");
  close(fd);
  CHECK_EQ(live.Wait(), "connected 10.201.0.2:8080 10.201.0.1 still here");
}

TEST("lifecycle: two pods with the same address do not get each other's connections") {
  Captured world;
  REQUIRE(world.ok());
  PodCaptureOptions options = PodOptions("twin");
  options.addresses = {*IpAddress::Parse("10.201.0.1")};
  auto twin = world.node->CapturePod(options);
  CHECK_EQ(twin.status().ToString(), "ok");
  REQUIRE(twin.ok());
  Running visit = Start({"twin", "pods/twin"}, [] { return Visit("10.201.0.2:8080"); });
  const int fd = Accept(twin.value()->listeners().outbound);
  CHECK(fd >= 0);
  WriteAll(fd, "twin's agent");
  close(fd);
  CHECK_EQ(visit.Wait(), "connected 10.201.0.2:8080 10.201.0.1 twin's agent");
  CloseAll(twin.value()->listeners());
  CHECK_EQ(twin.value()->Release().ToString(), "ok");
}

TEST("lifecycle: pins of a pod whose namespace is gone are swept") {
  const std::string before = Footprint();
  Shell("", "ip netns add " + NetnsPath("brief").substr(11));
  Shell("brief", "ip link set lo up");
  Shell("brief", "ip addr add 10.201.0.9/32 dev lo");
  Running agent = Start({"router", "agent"}, [] {
    auto node = NodeCapture::Open(NodeOptions());
    if (!node.ok()) return node.status().ToString();
    PodCaptureOptions options = PodOptions("brief");
    options.addresses = {*IpAddress::Parse("10.201.0.9")};
    auto pod = node.value()->CapturePod(options);
    return pod.ok() ? "captured" : pod.status().ToString();
  });
  CHECK_EQ(agent.Wait(), "captured");
  CHECK(Footprint() != before);
  Shell("", "ip netns del " + NetnsPath("brief").substr(11));
  {
    auto node = NodeCapture::Open(NodeOptions());
    CHECK(node.ok());
  }
  CHECK_EQ(Footprint(), before);
}

TEST("lifecycle: a release that was cut off is finished by the next agent") {
  const std::string before = Footprint();
  Running agent = OtherAgent();
  WaitCaptured();
  agent.Kill();
  agent.Wait();
  // As far as StopSteering came: the program is off, rules and sysctls are there.
  const std::string directory = PinDirectoryInBpffs();
  CHECK(std::filesystem::remove(directory + "/pods/pod+a/link_steer"));
  {
    auto node = NodeCapture::Open(NodeOptions());
    CHECK(node.ok());
  }
  CHECK_EQ(Footprint(), before);
}

/// Makes a path one that is there and that nobody can read, as long as it lives.
class Unreadable {
 public:
  explicit Unreadable(std::string path) : path_(std::move(path)) {
    std::filesystem::rename(path_, path_ + "_aside");
    std::filesystem::create_symlink(path_, path_);
  }
  ~Unreadable() {
    std::filesystem::remove(path_);
    std::filesystem::rename(path_ + "_aside", path_);
  }

 private:
  const std::string path_;
};

TEST("lifecycle: fails closed when a takeover cannot read a pod's pins: they stay as they are") {
  const std::string before = Footprint();
  Running agent = OtherAgent();
  WaitCaptured();
  agent.Kill();
  agent.Wait();
  const std::string pods = PinDirectoryInBpffs() + "/pods";
  for (const std::string name : {MESH_MAP_POD_STATE, "link_steer"}) {
    const Unreadable hidden(pods + "/pod+a/" + name);
    auto node = NodeCapture::Open(NodeOptions());
    CHECK_EQ(node.status().ToString(), "ok");
    REQUIRE(node.ok());
    CHECK_EQ(Counter(*node.value(), "sweep_skipped"), 1u);
    CHECK_EQ(Counter(*node.value(), "map_pods_entries"), 1u);
    CHECK(!node.value()->CapturePod(PodOptions("a")).ok());
    node.value().reset();
    CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.2:8080"); }), "EINPROGRESS");
  }
  {
    // Nor does an agent open, or take the node's pins away, that cannot tell which pods there are.
    auto node = NodeCapture::Open(NodeOptions());
    REQUIRE(node.ok());
    const Unreadable hidden(pods);
    node.value().reset();
    CHECK_EQ(NodeCapture::Open(NodeOptions()).status().errno_value, ELOOP);
  }
  CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.2:8080"); }), "EINPROGRESS");
  { Captured clean; }
  CHECK_EQ(Footprint(), before);
}

TEST("lifecycle: listeners take no port that a program has or is likely to want") {
  const Running program = StartServer(PodA(), "65000", [] {
    // The datagram socket lets others share its port.
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(udp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_storage storage = {};
    const socklen_t length = SocketAddress::Parse("0.0.0.0:65000")->ToSockaddr(AF_INET, &storage);
    const int tcp = Listen("0.0.0.0:65000");
    if (bind(udp, reinterpret_cast<const sockaddr*>(&storage), length) == 0 && tcp >= 0) pause();
    return ErrnoName(errno);
  });
  for (int tries = 0; tries < 100 && Shell("a", "ss -aunH sport = :65000").empty(); ++tries)
    usleep(20'000);
  Captured world;
  REQUIRE(world.ok());
  const PodListeners& listeners = world.a->listeners();
  std::set<uint16_t> ports;
  for (const int fd : {listeners.outbound, listeners.inbound_plaintext, listeners.inbound_hbone,
                       listeners.dns_tcp, listeners.dns_udp}) {
    const uint16_t port = ListenerPort(fd);
    CHECK(port > 65000);
    if (fd != listeners.dns_udp) CHECK(ports.insert(port).second);
  }
}

TEST("lifecycle: a listener of the wrong kind drops instead of passing") {
  Captured world;
  REQUIRE(world.ok());
  const int map =
      bpf_obj_get((PinDirectoryInBpffs() + "/pods/pod+a/" + MESH_MAP_LISTENERS).c_str());
  REQUIRE(map >= 0);
  const uint32_t slot = MESH_LISTENER_OUTBOUND;
  const auto wrong = static_cast<uint64_t>(world.a->listeners().dns_udp);
  CHECK_EQ(bpf_map_update_elem(map, &slot, &wrong, BPF_ANY), 0);
  close(map);
  CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.2:8080"); }), "EINPROGRESS");
  CHECK(world.Grown("steer_dropped_assign_failed") > 0u);
}

TEST("lifecycle: what cannot be captured is refused with a reason and changes nothing") {
  const std::string before = Footprint();
  {
    auto node = NodeCapture::Open(NodeOptions());
    REQUIRE(node.ok());
    const auto refused = [&](const PodCaptureOptions& options, const char* why) {
      auto pod = node.value()->CapturePod(options);
      CHECK(!pod.ok());
      const std::string said = pod.status().ToString();
      if (said.find(why) == std::string::npos) CHECK_EQ(said, why);
    };
    PodCaptureOptions options = PodOptions("a");
    options.addresses = {*IpAddress::Parse("10.201.0.77")};
    refused(options, "10.201.0.77 is not in the pod's network namespace");
    options.addresses.assign(5, *IpAddress::Parse("10.201.0.1"));
    refused(options, "5 addresses, 1 to 4");
    options = PodOptions("a");
    options.uid = "../../evil";
    refused(options, "the uid must be");
    options = PodOptions("a");
    options.netns_path = "/proc/self/ns/net";
    refused(options, "agent's own network namespace");
    options.netns_path = "/run/netns/gwa-none";
    refused(options, "No such file");
    auto pod = node.value()->CapturePod(PodOptions("a"));
    REQUIRE(pod.ok());
    options = PodOptions("a");
    options.uid = "other";
    refused(options, "is captured for pod pod.a");
    CloseAll(pod.value()->listeners());
    CHECK_EQ(pod.value()->Release().ToString(), "ok");
  }
  CHECK_EQ(Footprint(), before);
  NodeCaptureOptions wrong = NodeOptions();
  wrong.bpf_directory = "/nowhere";
  CHECK(NodeCapture::Open(wrong).status().detail.find("/nowhere/connect.bpf.o") !=
        std::string::npos);
  wrong = NodeOptions();
  wrong.pods_cgroup = CgroupPath("none");
  CHECK(NodeCapture::Open(wrong).status().ToString().find("ancestor of all pods") !=
        std::string::npos);
  wrong = NodeOptions();
  wrong.pin_directory = "/run/not-bpf/v1";
  CHECK(NodeCapture::Open(wrong).status().detail.find("is not in a bpf filesystem") !=
        std::string::npos);
  CHECK_EQ(Footprint(), before);
}

TEST("lifecycle: pins of another ABI version are refused, not reinterpreted") {
  Running agent = OtherAgent();
  WaitCaptured();
  agent.Kill();
  agent.Wait();
  const std::string directory = PinDirectoryInBpffs();
  const int map = bpf_obj_get((directory + "/" + MESH_MAP_VERSION).c_str());
  REQUIRE(map >= 0);
  const uint32_t key = 0;
  uint32_t version = MESH_ABI_VERSION + 1;
  bpf_map_update_elem(map, &key, &version, BPF_ANY);
  const std::string told = "with ABI " + std::to_string(MESH_ABI_VERSION + 1) + ", this one has " +
                           std::to_string(MESH_ABI_VERSION);
  CHECK(NodeCapture::Open(NodeOptions()).status().detail.find(told) != std::string::npos);
  version = MESH_ABI_VERSION;
  bpf_map_update_elem(map, &key, &version, BPF_ANY);
  close(map);
  Captured clean;
  CHECK(clean.ok());
}

TEST("lifecycle: pins with another number of counters are taken over with what they counted") {
  for (const uint32_t length : {3u, uint32_t{MESH_COUNTERS_COUNT} + 1}) {
    Running agent = OtherAgent();
    WaitCaptured();
    agent.Kill();
    agent.Wait();
    const std::string pin = PinDirectoryInBpffs() + "/" + MESH_MAP_COUNTERS;
    const int map = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, MESH_MAP_COUNTERS, sizeof(uint32_t),
                                   sizeof(uint64_t), length, nullptr);
    REQUIRE(map >= 0);
    std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()), 1'000'000);
    const uint32_t key = MESH_COUNTER_CONNECT_AGENT;
    REQUIRE(bpf_map_update_elem(map, &key, values.data(), BPF_ANY) == 0);
    unlink(pin.c_str());
    REQUIRE(bpf_obj_pin(map, pin.c_str()) == 0);
    close(map);
    Captured next;
    REQUIRE(next.ok());
    CHECK(Counter(*next.node, "connect_agent") >= 1'000'000);
    CHECK_EQ(Counter(*next.node, "approve_map_full"), 0u);
  }
}

TEST("lifecycle: connections older than capture are found and ended, others are not") {
  Running server = StartServer(Router(), "7000", [] {
    const int listener = Listen("10.201.9.9:7000");
    int fds[2] = {accept(listener, nullptr, nullptr), accept(listener, nullptr, nullptr)};
    return ReadAll(fds[0]) + ReadAll(fds[1]);
  });
  Running old = Start(PodA(), [] { return Visit("10.201.9.9:7000"); });
  for (int tries = 0; tries < 100 && Shell("a", "ss -tnH state established").empty(); ++tries)
    usleep(20'000);
  Captured world;
  REQUIRE(world.ok());
  Running captured = Start(PodA(), [] { return Visit("10.201.9.9:7000"); });
  const int fd = Accept(world.a->listeners().outbound);
  REQUIRE(fd >= 0);
  auto own = Sockets().OpenPodSocket(world.a->netns_fd(), AF_INET);
  REQUIRE(own.ok());
  CHECK_EQ(FinishConnect(own.value(), *SocketAddress::Parse("10.201.9.9:7000")), "");
  auto found = world.a->FindUncaptured();
  REQUIRE(found.ok());
  CHECK_EQ(found.value().size(), 1u);
  if (found.value().size() == 1) CHECK_EQ(found.value()[0].remote.ToString(), "10.201.9.9:7000");
  CHECK_EQ(world.a->CloseUncaptured(found.value()).ToString(), "ok");
  CHECK_EQ(old.Wait(), "connected 10.201.9.9:7000 10.201.0.1 [ECONNABORTED]");
  CHECK_EQ(world.a->FindUncaptured().value().size(), 0u);
  WriteAll(fd, "agent");
  close(fd);
  CHECK_EQ(captured.Wait(), "connected 10.201.9.9:7000 10.201.0.1 agent");
  close(own.value());
  server.Kill();
}

TEST("lifecycle: a delivery whose approval does not fit is steered, and known as one") {
  Captured world;
  REQUIRE(world.ok());
  const std::string directory = PinDirectoryInBpffs();
  const UniqueFd map = PinnedMap(MESH_MAP_APPROVALS);
  REQUIRE(map.valid());
  mesh_approval filler = {};
  const uint32_t value = 0;
  uint64_t filled = 0;
  while (bpf_map_update_elem(map.get(), &filler, &value, BPF_ANY) == 0)
    filler.netns_cookie = UINT64_MAX - ++filled;
  CHECK_EQ(world.Grown("map_approvals_entries"), static_cast<uint64_t>(MESH_APPROVALS_MAX));
  const SocketAddress to = *SocketAddress::Parse("10.201.0.2:8080");
  auto fd =
      Sockets().OpenDeliverySocket(world.b->netns_fd(), *SocketAddress::Parse("10.201.0.1:1"), to);
  REQUIRE(fd.ok());
  CHECK_EQ(FinishConnect(fd.value(), to), "");
  const int steered = Accept(world.b->listeners().inbound_plaintext);
  CHECK(steered >= 0);
  CHECK(Sockets().IsDelivery(steered));
  close(steered);
  close(fd.value());
  CHECK_EQ(world.Grown("approve_map_full"), 1u);
}

TEST("lifecycle: approvals that were left go with their pod, those of others stay") {
  Captured world;
  REQUIRE(world.ok());
  const UniqueFd pods = PinnedMap(MESH_MAP_PODS);
  uint64_t cookie = 0;
  for (bool first = true; bpf_map_get_next_key(pods.get(), first ? nullptr : &cookie, &cookie) == 0;
       first = false) {
    LeaveApproval(cookie);
  }
  CHECK_EQ(Counter(*world.node, "map_approvals_entries"), 2u);
  CloseAll(world.a->listeners());
  CHECK_EQ(world.a->Release().ToString(), "ok");
  world.a.reset();
  CHECK_EQ(Counter(*world.node, "map_approvals_entries"), 1u);
}

TEST("lifecycle: a takeover forgets approvals and addresses that nobody remembers") {
  Running agent = OtherAgent();
  WaitCaptured();
  LeaveApproval(77);
  agent.Kill();
  agent.Wait();
  auto node = NodeCapture::Open(NodeOptions());
  REQUIRE(node.ok());
  CHECK_EQ(Counter(*node.value(), "map_approvals_entries"), 0u);
  CHECK_EQ(Counter(*node.value(), "map_addresses_entries"), 2u);
  PodCaptureOptions options = PodOptions("a");
  options.addresses.resize(1);
  auto pod = node.value()->CapturePod(options);
  REQUIRE(pod.ok());
  CHECK_EQ(Counter(*node.value(), "map_addresses_entries"), 1u);
  CloseAll(pod.value()->listeners());
  CHECK_EQ(pod.value()->Release().ToString(), "ok");
  CHECK_EQ(Counter(*node.value(), "map_addresses_entries"), 0u);
}

TEST("netlink: a dump that the kernel ends with an error is one that failed") {
  const UniqueFd here(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  auto netlink = NetlinkSocket::Open(here.get(), NETLINK_SOCK_DIAG);
  REQUIRE(netlink.ok());
  // Of a protocol that nobody can list: the kernel says so where the list would end.
  NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  inet_diag_req_v2 body = {};
  body.sdiag_family = AF_INET;
  body.sdiag_protocol = 200;
  body.idiag_states = UINT32_MAX;
  request.AppendBody(&body, sizeof body);
  CHECK_EQ(netlink.value().Dump(request, "dump", [](const nlmsghdr&) {}).errno_value, ENOENT);
}

TEST("probe: this kernel has all that capture needs") {
  for (const msg::KernelFeature& feature : ProbeKernel(NodeOptions())) {
    CHECK_EQ(feature.name + (feature.present || !feature.required ? "" : ": " + feature.detail),
             feature.name);
    CHECK(feature.present == feature.remedy.empty());
  }
}

TEST("probe: without privileges it says what is missing and how to get it") {
  CHECK_EQ(Run(Router(),
               [] {
                 if (setresuid(65534, 65534, 65534) != 0) return ErrnoName(errno);
                 std::string missing;
                 for (const msg::KernelFeature& feature : ProbeKernel(NodeOptions())) {
                   if (feature.name == "eBPF maps" && !feature.present)
                     missing = feature.remedy.substr(0, 11);
                 }
                 return missing;
               }),
           "run as root");
}

}  // namespace
}  // namespace groundwire::world
