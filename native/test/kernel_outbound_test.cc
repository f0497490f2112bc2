// SPDX-License-Identifier: Apache-2.0
// What an application's connect() becomes.
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

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

}  // namespace
}  // namespace groundwire::world
