// SPDX-License-Identifier: Apache-2.0
// The whole engine over real sockets: the ways of a connection's bytes.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "io/socket_options.h"
#include "support/cuttable_proxy.h"
#include "support/mesh.h"

using namespace groundwire;

namespace {

constexpr auto kOutbound = msg::Direction::kOutbound;
constexpr auto kInbound = msg::Direction::kInbound;

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + (i >> 12));
  return bytes;
}

}  // namespace

TEST("path: bytes go from a captured pod through a tunnel to the application and back") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  CHECK_EQ(PeerAddress(server.get()).ip.ToString(),
           "10.202.1.1");  // The client's address arrives unchanged.
  const auto live = mesh.agent.Snapshot<msg::Connection>(msg::kPartConnections);
  CHECK_EQ(live.size(), 2u);
  const auto tunnels = mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels);
  CHECK_EQ(tunnels.size(), 2u);

  shutdown(client.get(), SHUT_WR);
  CHECK_EQ(Peek(server), "end");
  CHECK(SendAll(server, "tail"));
  shutdown(server.get(), SHUT_WR);
  CHECK_EQ(ReceiveUpTo(client, 100), "tail");

  const auto out = mesh.Closed(kOutbound);
  const auto in = mesh.Closed(kInbound);
  REQUIRE(out && in);
  CHECK_EQ(CodeName(out), "NONE");
  CHECK_EQ(CodeName(in), "NONE");
  CHECK(out->opened && in->opened);
  CHECK_EQ(CountsOf(&mesh, kOutbound), "1 opened, 1 closed, 0 failed");
  CHECK_EQ(CountsOf(&mesh, kInbound), "1 opened, 1 closed, 0 failed");
  CHECK_EQ(out->bytes_sent, 1u);
  CHECK_EQ(out->bytes_received, 5u);
  CHECK_EQ(in->bytes_sent, 1u);
  CHECK_EQ(in->bytes_received, 5u);
  CHECK_EQ(out->hbone_status, 200);
  CHECK_EQ(out->source_identity, IdentityOf("pod1"));
  CHECK_EQ(out->destination_identity, IdentityOf("pod2"));
  CHECK_EQ(in->source_identity, IdentityOf("pod1"));
  CHECK_EQ(in->hbone_authority, mesh.app_address.ToString());
  CHECK_EQ(in->traceparent, out->traceparent);
  CHECK_EQ(out->traceparent.size(), 55u);
  CHECK_EQ(out->flow_label, 12u);
}

TEST("path: eight megabytes each way arrive unchanged while the other direction is busy") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  const std::string up = Pattern(8 << 20);
  const std::string down = Pattern((8 << 20) + 4321);
  std::thread send_up([&, fd = &client] { SendAll(*fd, up); });
  std::thread send_down([&, fd = &server] { SendAll(*fd, down); });
  std::string got_up;
  std::thread receive_up([&, fd = &server] { got_up = ReceiveUpTo(*fd, up.size()); });
  const std::string got_down = ReceiveUpTo(client, down.size());
  send_up.join();
  send_down.join();
  receive_up.join();
  CHECK(got_up == up);
  CHECK(got_down == down);
}

TEST("path: a reset of the client resets the application, and the other way round") {
  TestMesh mesh;
  auto first = mesh.Open();
  REQUIRE(first.first.valid() && first.second.valid());
  CloseWithReset(&first.first);
  CHECK_EQ(Peek(first.second), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "PEER_RESET");
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "PEER_RESET");
  auto second = mesh.Open();
  REQUIRE(second.first.valid() && second.second.valid());
  CloseWithReset(&second.second);
  CHECK_EQ(Peek(second.first), "reset");
}

TEST(
    "path: what an application sent before it was reset goes through the tunnel to a slow reader, "
    "and then the reset") {
  TestMesh mesh([](msg::EngineOptions* options) { options->stream_window_bytes = 65536; });
  const std::string flood = Pattern(64 << 20);
  for (const bool forth : {true, false}) {
    auto [client, server] = mesh.Open();
    REQUIRE(client.valid() && server.valid());
    UniqueFd& writer = forth ? client : server;
    const UniqueFd& reader = forth ? server : client;
    const size_t taken = FillUp(writer, flood);
    int unacknowledged = 0;
    REQUIRE(ioctl(writer.get(), SIOCOUTQ, &unacknowledged) == 0);
    const size_t arrived = taken - static_cast<size_t>(unacknowledged);
    CloseWithReset(&writer);
    errno = 0;
    const std::string got = ReceiveUpTo(reader, flood.size());
    CHECK_EQ(errno, ECONNRESET);
    CHECK(got.size() >= arrived);
    CHECK(flood.compare(0, got.size(), got) == 0);
    CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "PEER_RESET");
    CHECK_EQ(CodeName(mesh.Closed(kInbound)), "PEER_RESET");
  }
  CHECK_EQ(mesh.agent.Counter("resets_cut_short"), 0u);
}

TEST("path: a reader that does not read holds a reset up for seconds, not for ever") {
  TestMesh mesh([](msg::EngineOptions* options) { options->stream_window_bytes = 65536; });
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  CHECK(FillUp(client, Pattern(64 << 20)) > 0);
  CloseWithReset(&client);
  for (const auto direction : {kOutbound, kInbound}) {
    const auto closed = mesh.agent.Await<msg::ConnectionClosed>(
        [direction](const msg::ConnectionClosed& e) { return e.direction == direction; }, 60000);
    CHECK_EQ(CodeName(closed), "PEER_RESET");
  }
  CHECK(mesh.agent.Counter("resets_cut_short") > 0);
}

TEST("path: urgent data goes through a tunnel in its place and holds nothing up") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  for (int round = 0; round < 100; ++round) {
    REQUIRE(SendAll(client, "abc"));
    REQUIRE(send(client.get(), "X", 1, MSG_OOB) == 1);
    REQUIRE(SendAll(client, "def"));
    REQUIRE(ReceiveUpTo(server, 7) == "abcXdef");
    REQUIRE(SendAll(server, "gh"));
    REQUIRE(send(server.get(), "Y", 1, MSG_OOB) == 1);
    REQUIRE(SendAll(server, "i"));
    REQUIRE(ReceiveUpTo(client, 4) == "ghYi");
  }
}

TEST("path: urgent bytes in the TCP connection under a tunnel hold nothing up") {
  TestMesh mesh;
  CuttableProxy proxy(mesh.hbone, MSG_OOB);
  mesh.hbone = proxy.address();
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  for (int round = 0; round < 100; ++round) {
    REQUIRE(SendAll(client, "abc"));
    REQUIRE(ReceiveUpTo(server, 3) == "abc");
    REQUIRE(SendAll(server, "de"));
    REQUIRE(ReceiveUpTo(client, 2) == "de");
  }
}

TEST("path: a slow reader stops its sender within the window and nobody else") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->stream_window_bytes = 65536;
    options->worker_threads = 1;  // both connections share one tunnel
  });
  auto slow = mesh.Open();
  auto quick = mesh.Open();
  REQUIRE(slow.first.valid() && quick.first.valid());
  const std::string flood = Pattern(64 << 20);
  CHECK(FillUp(slow.first, flood) <
        flood.size());  // socket buffers and one window, never all of it
  const std::string ping = Pattern(1 << 20);
  std::thread send_ping([&] { SendAll(quick.first, ping); });
  CHECK(ReceiveUpTo(quick.second, ping.size()) == ping);
  send_ping.join();
}

TEST("path: connections of a pair share tunnels") {
  TestMesh mesh;
  for (int i = 0; i < 40; ++i) {
    auto [client, server] = mesh.Open();
    REQUIRE(client.valid() && server.valid());
  }
  CHECK(mesh.agent.Counter("tunnels_dialled") <= 2);  // one a worker
  CHECK_EQ(mesh.agent.Counter("outbound_accepted"), 40u);
  CHECK(mesh.agent.questions() <= 4);
}

TEST("path: three hundred connections at once spread over tunnels below the peer's limit") {
  TestMesh mesh;
  std::vector<std::pair<UniqueFd, UniqueFd>> open;
  for (int i = 0; i < 300; ++i) {
    open.push_back(mesh.Open());
    REQUIRE(open.back().first.valid());
  }
  for (const msg::Tunnel& tunnel : mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels)) {
    CHECK(tunnel.streams <= 100);
  }
  for (auto& [client, server] : open) CHECK(SendAll(client, "x"));
  for (auto& [client, server] : open) CHECK_EQ(ReceiveUpTo(server, 1), "x");
}

TEST("path: passthrough dials the next hop without the mesh") {
  TestMesh mesh;
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return mesh.Direct(q.question, msg::HopKind::kPassthrough);
      },
      nullptr);
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  client.Reset();
  CHECK_EQ(Peek(server), "end");
  server.Reset();
  const auto out = mesh.Closed(kOutbound);
  REQUIRE(out.has_value());
  CHECK(out->hop == msg::HopKind::kPassthrough);
  CHECK_EQ(out->bytes_sent, 1u);
  CHECK_EQ(out->bytes_received, 1u);
}

TEST("path: handoff asks for the destination's verdict and delivers with the client's address") {
  TestMesh mesh;
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return mesh.Direct(q.question, msg::HopKind::kHandoff);
      },
      [](const msg::InboundQuestion& q) -> std::optional<msg::InboundAnswer> {
        if (q.security != msg::Security::kHandoff || q.identity != IdentityOf("pod1") || q.pod != 2)
          return std::nullopt;
        return TestAgent::Allow(q.question);
      });
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  CHECK_EQ(PeerAddress(server.get()).ip.ToString(), "10.202.1.1");
  const std::string bulk = Pattern(4 << 20);
  std::thread sender([&, fd = &client] { SendAll(*fd, bulk); });
  CHECK(ReceiveUpTo(server, bulk.size()) == bulk);
  sender.join();
  client.Reset();
  server.Reset();
  const auto out = mesh.Closed(kOutbound);
  REQUIRE(out.has_value());
  CHECK(out->hop == msg::HopKind::kHandoff);
  CHECK_EQ(mesh.agent.Counter("tunnels_dialled"), 0u);
  bool inbound_row = false;
  for (const msg::Flow& flow : mesh.agent.Snapshot<msg::Flow>(msg::kPartFlows)) {
    inbound_row =
        inbound_row || (flow.direction == kInbound && flow.flow_label == 21 && flow.opened == 1);
  }
  CHECK(inbound_row);
}

TEST("path: the port of a hostname is its service's, and may be that of a listener in the pod") {
  TestMesh mesh;
  const uint16_t port = PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext);
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return TestAgent::Hbone(q.question, mesh.hbone, "shop.test:" + std::to_string(port),
                                {IdentityOf("pod2")});
      },
      [&](const msg::InboundQuestion& q) {
        msg::InboundAnswer answer = TestAgent::Allow(q.question);
        answer.deliver_port = mesh.app_address.port;
        return answer;
      });
  auto [client, server] = mesh.Open();
  CHECK(client.valid() && server.valid());
}

TEST("path: plaintext from outside of the mesh is delivered when its verdict allows") {
  TestMesh mesh;
  mesh.agent.SetRules(
      nullptr, [&](const msg::InboundQuestion& q) -> std::optional<msg::InboundAnswer> {
        if (q.security != msg::Security::kNone || !q.identity.empty()) return std::nullopt;
        msg::InboundAnswer answer =
            TestAgent::Allow(q.question, msg::BitOf(msg::ConsultedField::kDestinationPort));
        answer.deliver_port = mesh.app_address.port;
        return answer;
      });
  const uint16_t port = PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext);
  const UniqueFd client = ConnectTo(At("10.202.2.1", port), "10.202.9.9");
  CHECK(SendAll(client, "hello"));
  const UniqueFd server = AcceptOne(mesh.app);
  CHECK_EQ(ReceiveUpTo(server, 5), "hello");
  CHECK_EQ(PeerAddress(server.get()).ip.ToString(), "10.202.9.9");
  CHECK(SendAll(server, "bye"));
  shutdown(server.get(), SHUT_WR);
  CHECK_EQ(ReceiveUpTo(client, 10), "bye");
}

RUN_TESTS()
