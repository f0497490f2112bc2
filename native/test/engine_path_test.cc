// SPDX-License-Identifier: Apache-2.0
// Whole engine, real sockets: outbound listener → HBONE → inbound delivery, and the other two hops.
#include "check.h"
#include "support/agent.h"

using namespace groundwire;

namespace {

/// Pod 1 calls an application in pod 2 through a tunnel.
struct Mesh {
  explicit Mesh(const std::function<void(EngineOptions*)>& adjust = [](EngineOptions*) {}) : agent(adjust) {
    agent.AddPod(1);
    agent.AddPod(2);
    app = ListenOn("10.202.2.1");
    hbone = At("10.202.2.1", PortOf(agent.node.ListenersOf(2).inbound_hbone));
    const std::string authority = At("10.202.2.1", PortOf(app.get())).ToString();
    agent.SetRules(
        [this, authority](const msg::OutboundQuestion& q) {
          return TestAgent::Hbone(q.question, hbone, authority, {IdentityOf("pod2")});
        },
        [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  }
  /// As a program in pod 1 that dials 10.202.77.7.
  UniqueFd Dial() {
    return ConnectTo(At("10.202.77.7", PortOf(agent.node.ListenersOf(1).outbound)), "10.202.1.1");
  }

  TestAgent agent;
  UniqueFd app;
  SocketAddress hbone;
};

}  // namespace

TEST("path: bytes go from a captured pod through a tunnel to the application and back") {
  Mesh mesh;
  const UniqueFd client = mesh.Dial();
  REQUIRE(client.valid());
  CHECK(SendAll(client, "ping"));
  const UniqueFd server = AcceptOne(mesh.app);
  REQUIRE(server.valid());
  CHECK_EQ(ReceiveUpTo(server, 4), "ping");
  CHECK(SendAll(server, "pong!"));
  CHECK_EQ(ReceiveUpTo(client, 5), "pong!");
  shutdown(client.get(), SHUT_WR);
  CHECK_EQ(Peek(server), "end");
  CHECK(SendAll(server, "tail"));
  shutdown(server.get(), SHUT_WR);
  CHECK_EQ(ReceiveUpTo(client, 100), "tail");
  const auto out = mesh.agent.Await<msg::ConnectionClosed>(
      [](const msg::ConnectionClosed& e) { return e.direction == msg::Direction::kOutbound; });
  REQUIRE(out.has_value());
  CHECK_EQ(out->code, 0);
  CHECK_EQ(out->bytes_sent, 4u);
  CHECK_EQ(out->bytes_received, 9u);
}

RUN_TESTS()
