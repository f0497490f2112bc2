// SPDX-License-Identifier: Apache-2.0
// What reaches a captured pod, and what the agent delivers to its application.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "check.h"
#include "kernel_world.h"

namespace groundwire::world {
namespace {

/// An application in pod b that says who it thinks is there, to `visits` visitors.
Running Application(const std::string& at, int visits, int backlog = 16) {
  return StartServer(PodB(), at.substr(at.rfind(':') + 1), [=] {
    const int listener = Listen(at, backlog);
    std::string seen;
    for (int i = 0; i < visits; ++i) {
      const int fd = accept(listener, nullptr, nullptr);
      const std::string peer = PeerOf(fd);
      WriteAll(fd, "application sees " + peer.substr(0, peer.rfind(':')) + " at " + LocalOf(fd));
      char byte = 0;
      while (read(fd, &byte, 1) > 0) seen += byte;
      close(fd);
    }
    return seen;
  });
}

std::string Deliver(Captured& world, const std::string& client, const std::string& application) {
  const SocketAddress to = *SocketAddress::Parse(application);
  auto fd = Sockets().OpenDeliverySocket(world.b->netns_fd(), *SocketAddress::Parse(client), to);
  if (!fd.ok()) return fd.status().ToString();
  std::string said = FinishConnect(fd.value(), to);
  if (said.empty()) {
    WriteAll(fd.value(), "ping");
    shutdown(fd.value(), SHUT_WR);
    said = ReadAll(fd.value());
  }
  close(fd.value());
  return said;
}

TEST("inbound: plaintext and 15008 reach their listeners with true addresses") {
  Captured world;
  REQUIRE(world.ok());
  const struct {
    const char* to;
    int listener;
    const char* counter;
    const char* client;
  } cases[] = {
      {"10.201.0.2:8080", world.b->listeners().inbound_plaintext, "steer_plaintext", "10.201.9.9"},
      {"[fd77:a::2]:8080", world.b->listeners().inbound_plaintext, "steer_plaintext",
       "[fd77:a::99]"},
      {"10.201.0.2:15008", world.b->listeners().inbound_hbone, "steer_hbone", "10.201.9.9"},
      {"[fd77:a::2]:15008", world.b->listeners().inbound_hbone, "steer_hbone", "[fd77:a::99]"}};
  for (const auto& one : cases) {
    Running visit = Start(Router(), [&] {
      const SocketAddress to = *SocketAddress::Parse(one.to);
      const int fd = socket(to.family(), SOCK_STREAM, 0);
      sockaddr_storage storage = {};
      const SocketAddress from = {*IpAddress::Parse(to.ip.is_v4() ? "10.201.9.9" : "fd77:a::99"),
                                  0};
      const socklen_t length = from.ToSockaddr(to.family(), &storage);
      bind(fd, reinterpret_cast<sockaddr*>(&storage), length);
      const std::string failed = FinishConnect(fd, to);
      return failed.empty() ? ReadAll(fd) : failed;
    });
    const int fd = Accept(one.listener);
    CHECK(fd >= 0);
    if (fd < 0) continue;
    const std::string peer = PeerOf(fd);
    CHECK_EQ(peer.substr(0, peer.rfind(':')), one.client);
    CHECK_EQ(LocalOf(fd), one.to);
    CHECK(!Sockets().IsDelivery(fd));
    WriteAll(fd, "agent");
    close(fd);
    CHECK_EQ(visit.Wait(), "agent");
    CHECK_EQ(world.Grown(one.counter), 1u);
  }
}

TEST("inbound: the application sees the client's address and answers it, IPv4 and IPv6") {
  Captured world;
  REQUIRE(world.ok());
  Running application4 = Application("0.0.0.0:8080", 1);
  Running application6 = Application("[::]:8081", 1);
  CHECK_EQ(Deliver(world, "10.201.0.1:555", "10.201.0.2:8080"),
           "application sees 10.201.0.1 at 10.201.0.2:8080");
  CHECK_EQ(Deliver(world, "[fd77:a::1]:555", "[fd77:a::2]:8081"),
           "application sees [fd77:a::1] at [fd77:a::2]:8081");
  CHECK_EQ(application4.Wait(), "ping");
  CHECK_EQ(application6.Wait(), "ping");
  CHECK_EQ(world.Grown("approve_delivery"), 2u);
  CHECK_EQ(world.Grown("approve_forgotten"), 2u);
  CHECK_EQ(world.Grown("steer_approved"), 2u);
  CHECK_EQ(world.Grown("map_approvals_entries"), 0u);
  CHECK(world.Grown("approve_other_event") > 0u);
}

TEST("inbound: a closed port of the application refuses the agent at once") {
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(Deliver(world, "10.201.0.1:1", "10.201.0.2:9"), "ECONNREFUSED");
  CHECK_EQ(Deliver(world, "[fd77:a::1]:1", "[fd77:a::2]:9"), "ECONNREFUSED");
  CHECK_EQ(world.Grown("approve_forgotten"), 2u);
}

TEST("inbound: a pod that calls itself through the mesh is delivered under its own address") {
  Captured world;
  REQUIRE(world.ok());
  Running application = Application("0.0.0.0:8080", 1);
  CHECK_EQ(Deliver(world, "10.201.0.2:1", "10.201.0.2:8080"),
           "application sees 10.201.0.2 at 10.201.0.2:8080");
  CHECK_EQ(application.Wait(), "ping");
  CHECK_EQ(world.Grown("approve_not_delivery"), 1u);
  CHECK_EQ(world.Grown("steer_self"), 1u);
}

TEST("inbound: a delivery survives the SYN cookies of an application with a short queue") {
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(Shell("b", "sysctl -qw net.ipv4.tcp_syncookies=2"), "");
  Running application = Application("0.0.0.0:8080", 3, 1);
  for (int i = 0; i < 3; ++i) {
    CHECK_EQ(Deliver(world, "10.201.0.1:1", "10.201.0.2:8080"),
             "application sees 10.201.0.1 at 10.201.0.2:8080");
  }
  CHECK_EQ(application.Wait(), "pingpingping");
  CHECK_EQ(Shell("b", "sysctl -qw net.ipv4.tcp_syncookies=1"), "");
}

TEST("inbound: fails closed for a tuple that is not the approved one") {
  Captured world;
  REQUIRE(world.ok());
  // The agent holds an approved delivery open; another client of the same address is still steered.
  Running application = Application("0.0.0.0:8080", 1);
  const SocketAddress to = *SocketAddress::Parse("10.201.0.2:8080");
  auto fd =
      Sockets().OpenDeliverySocket(world.b->netns_fd(), *SocketAddress::Parse("10.201.9.9:1"), to);
  REQUIRE(fd.ok());
  CHECK_EQ(FinishConnect(fd.value(), to), "");
  Running visit = Start(Router(), [] { return Visit("10.201.0.2:8080"); });
  const int steered = Accept(world.b->listeners().inbound_plaintext);
  CHECK(steered >= 0);
  close(steered);
  visit.Wait();
  close(fd.value());
  application.Wait();
  CHECK_EQ(world.Grown("steer_approved"), 1u);
  CHECK_EQ(world.Grown("steer_plaintext"), 1u);
}

TEST("inbound: the kubelet's probe reaches the application, another process of the node does not") {
  Captured world;
  REQUIRE(world.ok());
  Running application = Application("0.0.0.0:8080", 1);
  CHECK(Run({"router", "probe"}, [] {
          const int fd = Connect("10.201.0.2:8080");
          if (fd < 0) return ErrnoName(errno);
          WriteAll(fd, "GET");
          shutdown(fd, SHUT_WR);
          return ReadAll(fd);
        }).starts_with("application sees 169.254.1.1 at 10.201.0.2:8080"));
  CHECK_EQ(application.Wait(), "GET");
  CHECK_EQ(world.Grown("approve_probe"), 1u);
  CHECK_EQ(world.Grown("approve_forgotten"), 1u);
  CHECK_EQ(world.Grown("steer_approved"), 1u);
  Running other = Start(Router(), [] { return Visit("10.201.0.2:8080"); });
  const int steered = Accept(world.b->listeners().inbound_plaintext);
  CHECK(steered >= 0);
  close(steered);
  other.Wait();
  Running server = StartServer(Router(), "7000", [] {
    const int listener = Listen("10.201.9.9:7000");
    close(accept(listener, nullptr, nullptr));
    return std::string();
  });
  Run({"router", "probe"}, [] { return Visit("10.201.9.9:7000"); });
  CHECK(world.Grown("approve_not_pod") > 0u);
}

TEST("inbound: addresses of different families cannot be delivered to each other") {
  Captured world;
  REQUIRE(world.ok());
  CHECK(Deliver(world, "[fd77:a::1]:1", "10.201.0.2:8080").find("cannot reach") !=
        std::string::npos);
}

}  // namespace
}  // namespace groundwire::world
