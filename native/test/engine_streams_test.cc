// SPDX-License-Identifier: Apache-2.0
// The whole engine against a peer of the test's own, and what that peer says of streams.
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "support/cuttable_proxy.h"
#include "support/hbone_peer.h"
#include "support/mesh.h"
#include "tls_identity.h"
#include "tunnel_pool.h"

using namespace groundwire;

TEST("streams: a peer that takes none gets a few tunnels, and its connections fail in time") {
  TestMesh mesh([](EngineOptions* options) {
    options->worker_threads = 1;
    options->connect_timeout_ms = 3000;
  });
  const auto identity = MakeTlsIdentity(mesh.agent.authority().Sign(IdentityOf("pod2")), 1);
  REQUIRE(identity.ok());
  HboneOptions none;
  none.streams_served_max = 0;
  const HbonePeer peer(identity.value(), none);
  mesh.hbone = peer.address();
  std::vector<UniqueFd> clients;
  // One that comes before the peer has said so counts on its tunnel.
  REQUIRE(TestAgent::Eventually([&] {
    clients.push_back(mesh.Dial());
    return mesh.agent.Counter("tunnels_dialled") == 4;
  }));
  for (int i = 0; i < 20; ++i) clients.push_back(mesh.Dial());
  // These share the tunnels with others that have waited for a while.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  for (int i = 0; i < 20; ++i) clients.push_back(mesh.Dial());
  size_t refused = 0;
  for (size_t i = 0; i < clients.size(); ++i) {
    const auto closed = mesh.Closed(msg::Direction::kOutbound);
    REQUIRE(closed.has_value());
    // Where the CONNECT was quicker than the peer's settings, the peer refuses it, on two tunnels.
    const bool left = CodeName(closed) == "HBONE_REFUSED";
    refused += left ? 1 : 0;
    if (!left) {
      CHECK_EQ(CodeName(closed), "HBONE_RESPONSE_TIMEOUT");
      CHECK(closed->duration_us >= 3000000);
    }
    CHECK_EQ(closed->detail,
             left ? "the peer reset the stream: REFUSED_STREAM" : std::string(kNoStreamsDetail));
  }
  for (const UniqueFd& client : clients) CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(mesh.agent.Counter("tunnels_dialled"), 4u);
  CHECK_EQ(mesh.agent.Counter("tunnel_streams_held_back") + refused, clients.size());
  // Nobody is left on the tunnels: they can go idle.
  for (const msg::Tunnel& tunnel : mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels)) {
    CHECK_EQ(tunnel.streams, 0u);
  }
}

TEST("streams: a peer whose side takes no bytes is not said to take no streams") {
  TestMesh mesh([](EngineOptions* options) {
    options->worker_threads = 1;
    options->connect_timeout_ms = 2000;
    options->stream_window_bytes = 16 << 20;
    options->ping_interval_ms = 60000;
  });
  CuttableProxy proxy(mesh.hbone);
  mesh.hbone = proxy.address();
  auto [busy, server] = mesh.Open();
  REQUIRE(busy.valid());
  proxy.Stall();
  const std::string bytes(65536, 'x');
  pollfd room{busy.get(), POLLOUT, 0};
  while (poll(&room, 1, 1000) == 1) {
    REQUIRE(send(busy.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
  }
  // The kernel finds a little room after all, for the first.
  std::vector<UniqueFd> clients;
  for (uint64_t asked = 2; asked <= 5; ++asked) {
    clients.push_back(mesh.Dial());
    REQUIRE(TestAgent::Eventually([&] { return mesh.agent.Counter("tunnel_streams") == asked; }));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    const auto closed = mesh.Closed(msg::Direction::kOutbound);
    REQUIRE(closed.has_value());
    CHECK_EQ(CodeName(closed), "HBONE_RESPONSE_TIMEOUT");
    CHECK_EQ(closed->detail, "");
  }
  CHECK_EQ(mesh.agent.Counter("tunnel_streams_held_back"), 0u);
}

RUN_TESTS()
