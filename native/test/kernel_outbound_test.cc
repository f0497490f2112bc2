// SPDX-License-Identifier: Apache-2.0
// What an application's connect() becomes.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "check.h"
#include "kernel_world.h"
#include "mesh_abi.h"

namespace groundwire::world {
namespace {

/// Pod a connects to `to`; what the agent's accepted socket says is told to the application.
std::string Served(Captured& world, const std::string& to) {
  Running visit = Start(PodA(), [&] { return Visit(to); });
  const int fd = Accept(world.a->listeners().outbound);
  if (fd >= 0) {
    std::string peer = PeerOf(fd);
    peer.resize(peer.rfind(':'));
    WriteAll(fd, "agent sees " + peer + " to " + LocalOf(fd));
    close(fd);
  }
  return visit.Wait();
}

TEST("outbound: an IPv4 connection reaches the agent, and both ends see true addresses") {
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(Served(world, "10.201.0.2:8080"),
           "connected 10.201.0.2:8080 10.201.0.1 agent sees 10.201.0.1 to 10.201.0.2:8080");
  CHECK_EQ(world.Grown("connect_captured"), 1u);
  CHECK_EQ(world.Grown("steer_outbound"), 1u);
}

TEST("outbound: an IPv6 connection reaches the agent, and both ends see true addresses") {
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(Served(world, "[fd77:a::2]:8080"),
           "connected [fd77:a::2]:8080 [fd77:a::1] agent sees [fd77:a::1] to [fd77:a::2]:8080");
  CHECK_EQ(world.Grown("connect_captured"), 1u);
}

TEST("outbound: an IPv4-mapped connection of an IPv6 socket is captured as IPv4") {
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(Served(world, "[::ffff:10.201.0.2]:8080"),
           "connected 10.201.0.2:8080 10.201.0.1 agent sees 10.201.0.1 to 10.201.0.2:8080");
}

/// A server in a pod that says hello to everyone, until killed.
Running Serve(const Place& place, const std::string& at) {
  return StartServer(place, at.substr(at.rfind(':') + 1), [at] {
    const int listener = Listen(at);
    for (;;) {
      const int fd = accept(listener, nullptr, nullptr);
      const std::string peer = PeerOf(fd);
      WriteAll(fd, "hello " + peer.substr(0, peer.rfind(':')));
      close(fd);
    }
    return std::string();
  });
}

TEST("outbound: loopback and the pod's own addresses are not captured") {
  Captured world;
  REQUIRE(world.ok());
  Running server4 = Serve(PodA(), "0.0.0.0:8080");
  Running server6 = Serve(PodA(), "[::]:8081");
  CHECK_EQ(Run(PodA(), [] { return Visit("127.0.0.1:8080"); }),
           "connected 127.0.0.1:8080 127.0.0.1 hello 127.0.0.1");
  CHECK_EQ(Run(PodA(), [] { return Visit("0.0.0.0:8080"); }),
           "connected 127.0.0.1:8080 127.0.0.1 hello 127.0.0.1");
  CHECK_EQ(world.Grown("connect_loopback"), 2u);
  CHECK_EQ(Run(PodA(), [] { return Visit("10.201.0.1:8080"); }),
           "connected 10.201.0.1:8080 10.201.0.1 hello 10.201.0.1");
  CHECK_EQ(Run(PodA(), [] { return Visit("[fd77:a::1]:8081"); }),
           "connected [fd77:a::1]:8081 [fd77:a::1] hello [fd77:a::1]");
  CHECK_EQ(world.Grown("connect_own_address"), 2u);
  CHECK_EQ(world.Grown("steer_self"), 4u);
  CHECK_EQ(world.Grown("connect_captured"), 0u);
  server4.Kill();
  server6.Kill();
}

TEST("outbound: a listener cannot be reached by its own port") {
  Captured world;
  REQUIRE(world.ok());
  const std::string at = LocalOf(world.a->listeners().outbound);
  const std::string port = at.substr(at.rfind(':'));
  CHECK_EQ(Run(PodA(), [&] { return Visit("127.0.0.1" + port); }), "ECONNREFUSED");
  CHECK_EQ(Run(PodA(), [&] { return Visit("10.201.0.1" + port); }), "ECONNREFUSED");
  CHECK_EQ(world.Grown("steer_dropped_direct"), 2u);
}

TEST("outbound: an application can listen on a port that the pod has connections to") {
  Captured world;
  REQUIRE(world.ok());
  Running visit = Start(PodA(), [] { return Visit("10.201.0.2:8082"); });
  const int live = Accept(world.a->listeners().outbound);
  REQUIRE(live >= 0);
  Running server = Serve(PodA(), "0.0.0.0:8082");
  CHECK_EQ(Run(PodA(), [] { return Visit("127.0.0.1:8082"); }),
           "connected 127.0.0.1:8082 127.0.0.1 hello 127.0.0.1");
  close(live);
  visit.Wait();
  server.Kill();
}

std::string VisitBound(const std::string& device) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.data(),
                 static_cast<socklen_t>(device.size())) != 0) {
    return "bind to device: " + ErrnoName(errno);
  }
  return FinishConnect(fd, *SocketAddress::Parse("10.201.0.2:8080"));
}

TEST("outbound: a socket bound to a device is refused, it would leave in plaintext") {
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(Run(PodA(), [] { return VisitBound("eth0"); }), "EPERM");
  CHECK_EQ(world.Grown("connect_refused_device"), 1u);
}

TEST("outbound: link-local and a family the pod has no address of are refused") {
  auto node = NodeCapture::Open(NodeOptions());
  REQUIRE(node.ok());
  PodCaptureOptions only4 = PodOptions("a");
  only4.addresses.resize(1);
  auto pod = node.value()->CapturePod(only4);
  REQUIRE(pod.ok());
  CHECK_EQ(Run(PodA(), [] { return Visit("[fd77:a::2]:8080"); }), "EPERM");
  CHECK_EQ(Run(PodA(),
               [] {
                 const int fd = socket(AF_INET6, SOCK_STREAM, 0);
                 sockaddr_in6 to = {};
                 to.sin6_family = AF_INET6;
                 to.sin6_port = htons(8080);
                 to.sin6_addr.s6_addr[0] = 0xfe;
                 to.sin6_addr.s6_addr[1] = 0x80;
                 to.sin6_addr.s6_addr[15] = 1;
                 to.sin6_scope_id = 2;
                 return connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0
                            ? "connected"
                            : ErrnoName(errno);
               }),
           "EPERM");
  uint64_t family = 0;
  uint64_t link_local = 0;
  auto counters = node.value()->ReadCounters();
  REQUIRE(counters.ok());
  for (const auto& [name, value] : counters.value()) {
    if (name == "connect_refused_family") family = value;
    if (name == "connect_refused_link_local") link_local = value;
  }
  CHECK_EQ(family, 1u);
  CHECK_EQ(link_local, 1u);
  CloseAll(pod.value()->listeners());
  CHECK_EQ(pod.value()->Release().ToString(), "ok");
}

std::string VisitMarked(unsigned int mark, bool loopback_first) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
  const std::string failed = FinishConnect(
      fd, *SocketAddress::Parse(loopback_first ? "127.0.0.1:8080" : "10.201.0.2:8080"));
  if (!failed.empty()) return failed;
  unsigned int after = 0;
  socklen_t size = sizeof after;
  getsockopt(fd, SOL_SOCKET, SO_MARK, &after, &size);
  return ReadAll(fd) + (after == 0                   ? " unmarked"
                        : after == MESH_MARK_CAPTURE ? " captured"
                                                     : " marked");
}

TEST("outbound: fails closed when the application sets marks of its own") {
  Captured world;
  REQUIRE(world.ok());
  Running open = Serve(PodB(), "0.0.0.0:8080");
  Running visit = Start(PodA(), [] { return VisitMarked(MESH_MARK_REPLY, false); });
  const int fd = Accept(world.a->listeners().outbound);
  REQUIRE(fd >= 0);
  WriteAll(fd, "agent");
  close(fd);
  CHECK_EQ(visit.Wait(), "agent captured");
  open.Kill();
}

TEST("outbound: a socket reused for loopback loses the mark") {
  Captured world;
  REQUIRE(world.ok());
  Running server = Serve(PodA(), "127.0.0.1:8080");
  CHECK_EQ(Run(PodA(), [] { return VisitMarked(MESH_MARK_CAPTURE, true); }),
           "hello 127.0.0.1 unmarked");
  CHECK_EQ(world.Grown("connect_mark_cleared"), 1u);
  server.Kill();
}

TEST("outbound: what is not a captured pod's TCP is left alone") {
  Captured world;
  REQUIRE(world.ok());
  Running server = Serve(Router(), "10.201.9.9:8080");
  CHECK_EQ(Run({"router", "pods/a"}, [] { return Visit("10.201.9.9:8080"); }),
           "connected 10.201.9.9:8080 10.201.9.9 hello 10.201.9.9");
  CHECK_EQ(world.Grown("connect_not_captured"), 1u);
  CHECK_EQ(Run(PodA(),
               [] {
                 const int fd = socket(AF_INET, SOCK_DGRAM, 0);
                 const std::string failed =
                     FinishConnect(fd, *SocketAddress::Parse("10.201.9.9:4000"));
                 return failed + LocalOf(fd).substr(0, 10);
               }),
           "10.201.0.1");
  CHECK_EQ(world.Grown("connect_not_tcp"), 1u);
  // The agent dials as the pod: from the pod's address, past the hook, to the real server.
  auto fd = Sockets().OpenPodSocket(world.a->netns_fd(), AF_INET);
  REQUIRE(fd.ok());
  CHECK_EQ(FinishConnect(fd.value(), *SocketAddress::Parse("10.201.9.9:8080")), "");
  CHECK_EQ(ReadAll(fd.value()), "hello 10.201.0.1");
  close(fd.value());
  server.Kill();
}

TEST("outbound: an agent whose cgroup is below the pods' is not captured by itself") {
  NodeCaptureOptions options = NodeOptions();
  options.agent_cgroup = CgroupPath("pods/b");
  auto node = NodeCapture::Open(options);
  REQUIRE(node.ok());
  auto pod = node.value()->CapturePod(PodOptions("a"));
  REQUIRE(pod.ok());
  Running server = Serve(Router(), "10.201.9.9:8080");
  auto fd = Sockets().OpenPodSocket(pod.value()->netns_fd(), AF_INET);
  REQUIRE(fd.ok());
  CHECK_EQ(FinishConnect(fd.value(), *SocketAddress::Parse("10.201.9.9:8080")), "");
  CHECK_EQ(ReadAll(fd.value()), "hello 10.201.0.1");
  close(fd.value());
  auto counters = node.value()->ReadCounters();
  REQUIRE(counters.ok());
  for (const auto& [name, value] : counters.value()) {
    if (name == "connect_agent") CHECK_EQ(value, 1u);
  }
  server.Kill();
  CloseAll(pod.value()->listeners());
  CHECK_EQ(pod.value()->Release().ToString(), "ok");
}

TEST("outbound: MPTCP and fast open do not slip past the hook") {
  Captured world;
  REQUIRE(world.ok());
  for (const bool mptcp : {true, false}) {
    Running visit = Start(PodA(), [mptcp] {
      const int fd = socket(AF_INET, SOCK_STREAM, mptcp ? 262 : 0);
      if (fd < 0) return ErrnoName(errno);
      const SocketAddress to = *SocketAddress::Parse("10.201.0.2:8080");
      sockaddr_storage storage = {};
      const socklen_t length = to.ToSockaddr(AF_INET, &storage);
      if (mptcp) {
        const std::string failed = FinishConnect(fd, to);
        if (!failed.empty()) return failed;
      } else if (sendto(fd, "early", 5, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&storage),
                        length) != 5) {
        return ErrnoName(errno);
      }
      return ReadAll(fd);
    });
    const int fd = Accept(world.a->listeners().outbound);
    CHECK(fd >= 0);
    if (fd >= 0) {
      WriteAll(fd, "agent");
      close(fd);
    }
    CHECK(visit.Wait().starts_with("agent"));
    CHECK_EQ(world.Grown("connect_captured"), 1u);
  }
}

}  // namespace
}  // namespace groundwire::world
