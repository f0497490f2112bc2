// SPDX-License-Identifier: Apache-2.0
// The whole engine over real sockets: what changes while connections live. Policy, certificates,
// pods, the engine itself.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "check.h"
#include "support/cuttable_proxy.h"
#include "support/mesh.h"
#include "support/raw_peer.h"

using namespace groundwire;

namespace {

constexpr auto kOutbound = msg::Direction::kOutbound;
constexpr auto kInbound = msg::Direction::kInbound;

bool Echoes(const UniqueFd& client, const UniqueFd& server) {
  return SendAll(client, "?") && ReceiveUpTo(server, 1) == "?" && SendAll(server, "!") &&
         ReceiveUpTo(client, 1) == "!";
}

msg::SetIdentity ShortLived(TestMesh* mesh, uint32_t pod, int64_t seconds) {
  const std::string identity = IdentityOf("pod" + std::to_string(pod));
  return mesh->agent.authority().Sign(identity, {{identity}, {}, -60, seconds});
}

/// Whether a thread of this process has that name.
bool HasThread(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string line;
    std::getline(std::ifstream(task.path() / "comm"), line);
    if (line == name) return true;
  }
  return false;
}

}  // namespace

TEST("life: an invalidated verdict that turns to deny ends the live connection on both sides") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  uint64_t verdict = 0;
  for (const msg::Connection& live : mesh.agent.Snapshot<msg::Connection>(msg::kPartConnections)) {
    if (live.direction == kInbound) verdict = live.verdict;
  }
  mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                      [](const msg::InboundQuestion& q) {
                        return TestAgent::Deny(q.question, ErrorCode::kPolicyDenied);
                      });
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{{verdict}}})));
  CHECK_EQ(Peek(server), "reset");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "POLICY_LATE_DENIED");
  CHECK_EQ(mesh.agent.Counter("connections_late_denied"), 1u);
  CHECK_EQ(CountsOf(&mesh, kInbound), "1 opened, 1 closed, 1 failed");
}

TEST("life: a connection that is denied while it is delivered is refused, whatever way it came") {
  for (const bool tunnel : {true, false}) {
    TestMesh mesh;
    // Full: the next connect waits.
    REQUIRE(listen(mesh.app.get(), 0) == 0);
    const UniqueFd filler = ConnectTo(mesh.app_address);
    REQUIRE(filler.valid());
    mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                        [&](const msg::InboundQuestion& q) {
                          msg::InboundAnswer answer = TestAgent::Allow(
                              q.question, msg::BitOf(msg::ConsultedField::kDestinationPort));
                          answer.deliver_port = mesh.app_address.port;
                          return answer;
                        });
    const UniqueFd client =
        tunnel
            ? mesh.Dial()
            : ConnectTo(At("10.202.2.1", PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext)),
                        "10.202.9.9");
    REQUIRE(TestAgent::Eventually([&] {
      const auto live = mesh.agent.Snapshot<msg::Connection>(msg::kPartConnections);
      return std::any_of(live.begin(), live.end(), [&](const msg::Connection& one) {
        return one.direction == kInbound && one.next_hop == mesh.app_address;
      });
    }));
    mesh.agent.SetRules(nullptr, [](const msg::InboundQuestion& q) {
      return TestAgent::Deny(q.question, ErrorCode::kPolicyDenied);
    });
    REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
    CHECK_EQ(Peek(client), "reset");
    const auto in = mesh.Closed(kInbound);
    REQUIRE(in.has_value());
    CHECK_EQ(CodeName(in), "POLICY_DENIED");
    CHECK_EQ(in->hbone_status, tunnel ? 401 : 0);
    CHECK_EQ(mesh.agent.Counter("connections_late_denied"), 0u);
  }
}

TEST("life: a connection whose destination gets a waypoint nobody knows, before it was let in") {
  TestMesh mesh;
  std::atomic<bool> asked{false};
  mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                      [&](const msg::InboundQuestion&) -> std::optional<msg::InboundAnswer> {
                        asked = true;
                        return std::nullopt;
                      });
  const UniqueFd client = mesh.Dial();
  REQUIRE(TestAgent::Eventually([&] { return asked.load(); }));
  mesh.agent.SetRules(
      [](const msg::OutboundQuestion& q) {
        return TestAgent::Refusal(q.question, ErrorCode::kUnknownWaypoint);
      },
      nullptr);
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "UNKNOWN_WAYPOINT");
}

TEST(
    "life: a re-asked connection without an answer goes on, is asked again, and ends at a late "
    "deny") {
  std::atomic<uint64_t> asked{0};
  TestMesh mesh([](msg::EngineOptions* options) { options->verdict_timeout_ms = 100; });
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  mesh.agent.SetRules(nullptr,
                      [&](const msg::InboundQuestion& q) -> std::optional<msg::InboundAnswer> {
                        asked = q.question;
                        return std::nullopt;
                      });
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("verdict_reask_retried") >= 4; }));
  CHECK(mesh.agent.Counter("verdict_timeouts") >= 4);
  CHECK(Echoes(client, server));
  mesh.agent.engine->Answer({TestAgent::Deny(asked, ErrorCode::kPolicyDenied)});
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "POLICY_LATE_DENIED");
  CHECK_EQ(Peek(server), "reset");
  CHECK_EQ(Peek(client), "reset");
  // Nobody lives by the questions any more, so they are not told again.
  const uint64_t retried = mesh.agent.Counter("verdict_reask_retried");
  std::this_thread::sleep_for(std::chrono::milliseconds(350));
  CHECK_EQ(mesh.agent.Counter("verdict_reask_retried"), retried);
}

TEST("life: a re-asked connection that is still allowed goes on, though its answer comes late") {
  std::atomic<uint64_t> asked{0};
  TestMesh mesh([](msg::EngineOptions* options) { options->verdict_timeout_ms = 100; });
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                      [&](const msg::InboundQuestion& q) -> std::optional<msg::InboundAnswer> {
                        asked = q.question;
                        return std::nullopt;
                      });
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("verdict_reask_retried") >= 1; }));
  mesh.agent.engine->Answer({TestAgent::Allow(asked)});
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  const uint64_t retried = mesh.agent.Counter("verdict_reask_retried");
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  CHECK_EQ(mesh.agent.Counter("verdict_reask_retried"), retried);
  CHECK(Echoes(client, server));
}

TEST("life: new streams use a tunnel of the new certificate, live ones go on") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  for (int renewal = 0; renewal < 3; ++renewal) {
    REQUIRE(!FailureOf(mesh.agent.Apply({ShortLived(&mesh, 1, 3600)})));
    auto next = mesh.Open();
    REQUIRE(next.first.valid());
    CHECK(Echoes(client, server));
  }
  CHECK(mesh.agent.Counter("tunnels_dialled") >= 4);
}

TEST("life: a transfer outlives several certificates by newer proofs") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  // Half a life is the slack that a busy machine has for a handshake under a sanitizer.
  constexpr uint32_t kLifetimeS = 8;
  constexpr uint64_t kRenewUs = 2'000'000;
  REQUIRE(!FailureOf(
      mesh.agent.Apply({ShortLived(&mesh, 1, kLifetimeS), ShortLived(&mesh, 2, kLifetimeS)})));
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  const uint64_t end = MonotonicUs() + 2 * kLifetimeS * 1'000'000;
  uint64_t renew = MonotonicUs() + kRenewUs;
  bool echoed = true;
  while (MonotonicUs() < end && echoed) {
    echoed = Echoes(client, server);
    if (MonotonicUs() > renew) {
      renew += kRenewUs;
      REQUIRE(!FailureOf(
          mesh.agent.Apply({ShortLived(&mesh, 1, kLifetimeS), ShortLived(&mesh, 2, kLifetimeS)})));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(echoed);
  CHECK(mesh.agent.Counter("tunnels_proof_dialled") >= 2);
}

TEST("life: without a newer proof a tunnel ends with its certificate") {
  TestMesh mesh;
  REQUIRE(!FailureOf(mesh.agent.Apply({ShortLived(&mesh, 1, 2), ShortLived(&mesh, 2, 2)})));
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  CHECK_EQ(Peek(client), "reset");
  // Both ends watch the clock; whichever is first ends it, and the other sees that.
  const auto expired =
      mesh.agent.Await<msg::ConnectionClosed>([](const msg::ConnectionClosed& closed) {
        return closed.code == static_cast<uint16_t>(ErrorCode::kCertificateExpired);
      });
  CHECK(expired.has_value());
}

TEST(
    "life: a peer is told in time that its tunnel ends, and its stream outlives that by a new "
    "proof") {
  TestMesh mesh;
  constexpr uint64_t kLifetimeUs = 4'000'000;
  const uint64_t start = MonotonicUs();
  // As a proxy does that looks at certificates in a handshake and never again.
  RawPeer stock(&mesh, ShortLived(&mesh, 1, kLifetimeUs / 1'000'000));
  REQUIRE(stock.connected);
  stock.Say(http2::kPreface + http2::Frame(http2::kSettings, 0, 0, "") +
            http2::Connect(1, mesh.app_address.ToString()));
  const UniqueFd server = AcceptOne(mesh.app);
  REQUIRE(server.valid());
  REQUIRE(stock.HearFrame(http2::kGoaway));
  CHECK(MonotonicUs() - start < kLifetimeUs * 3 / 4);
  CHECK_EQ(mesh.agent.Counter("tunnels_stale_drained"), 1u);
  stock.Say(http2::Frame(http2::kData, 0, 1, "old"));
  CHECK_EQ(ReceiveUpTo(server, 3), "old");
  const RawPeer again(&mesh, ShortLived(&mesh, 1, 3600));
  REQUIRE(again.connected);
  while (MonotonicUs() < start + kLifetimeUs * 3 / 2)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  stock.Say(http2::Frame(http2::kData, 0, 1, "new"));
  CHECK_EQ(ReceiveUpTo(server, 3), "new");
  CHECK_EQ(mesh.agent.Counter("tunnels_expired"), 0u);
}

TEST("life: a peer that is told and does not prove itself anew loses its streams at the end") {
  TestMesh mesh;
  RawPeer stock(&mesh, ShortLived(&mesh, 1, 2));
  REQUIRE(stock.connected);
  stock.Say(http2::kPreface + http2::Frame(http2::kSettings, 0, 0, "") +
            http2::Connect(1, mesh.app_address.ToString()));
  const UniqueFd server = AcceptOne(mesh.app);
  REQUIRE(server.valid());
  REQUIRE(stock.HearFrame(http2::kGoaway));
  CHECK_EQ(Peek(server), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "CERTIFICATE_EXPIRED");
  CHECK_EQ(mesh.agent.Counter("tunnels_expired"), 1u);
}

TEST("life: removing an identity ends its tunnels and their connections") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::RemoveIdentity{IdentityOf("pod2")}})));
  CHECK_EQ(Peek(client), "reset");
  // One engine is both ends here, each on a worker of its own; whichever is told first ends it, and
  // the other sees that.
  const std::string ends = CodeName(mesh.Closed(kOutbound)) + " " + CodeName(mesh.Closed(kInbound));
  CHECK(ends.find("IDENTITY_REMOVED") != std::string::npos);
  CHECK(TestAgent::Eventually(
      [&] { return mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels).empty(); }));
}

TEST(
    "life: a released pod stops steering at once, drains, and is gone when its last connection "
    "ended") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{1, 60000}})));
  CHECK_EQ(mesh.agent.node.LastCallOf(1), "stopped");
  CHECK(Echoes(client, server));
  CHECK(!mesh.agent.Await<msg::PodReleased>([](const auto&) { return true; }, 50).has_value());
  client.Reset();
  server.Reset();
  CHECK(mesh.agent.Await<msg::PodReleased>().has_value());
  CHECK_EQ(mesh.agent.node.LastCallOf(1), "released");
}

TEST(
    "life: the released destination of a handoff takes nothing new, and is gone when its last "
    "connection ended") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return mesh.Direct(q.question, msg::HopKind::kHandoff);
      },
      [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{2, 60000}})));
  CHECK(Echoes(client, server));
  const UniqueFd late = mesh.Dial();
  CHECK_EQ(Peek(late), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "UNKNOWN_DESTINATION_WORKLOAD");
  client.Reset();
  server.Reset();
  CHECK(mesh.agent.Await<msg::PodReleased>().has_value());
}

TEST("life: a tunnel that drains sends all that its last stream was given") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  CuttableProxy wire(mesh.hbone);
  mesh.hbone = wire.address();
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  // The client has said all of its own: the stream is over with the server's last byte.
  REQUIRE(shutdown(client.get(), SHUT_WR) == 0);
  CHECK_EQ(Peek(server), "end");
  wire.Stall();
  const std::string said(400000, 'x');
  REQUIRE(SendAll(server, said));
  server.Reset();
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{2, 60000}})));
  // Longer than a tunnel's notice of its end.
  (void)mesh.agent.Await<msg::PodReleased>([](const auto&) { return true; }, 1500);
  wire.Resume();
  CHECK(ReceiveUpTo(client, said.size()) == said);
  CHECK_EQ(Peek(client), "end");
}

TEST("life: all that is under way in a tunnel when it ends arrives, though its peer still sends") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->stream_window_bytes = 262144;
  });
  CuttableProxy wire(mesh.hbone);
  mesh.hbone = wire.address();
  // Of more than one stream, since each may send no more than a window ahead.
  std::vector<std::pair<UniqueFd, UniqueFd>> open;
  for (int i = 0; i < 6; ++i) {
    open.push_back(mesh.Open());
    const auto& [client, server] = open.back();
    REQUIRE(client.valid() && server.valid());
    REQUIRE(shutdown(client.get(), SHUT_WR) == 0);
    CHECK_EQ(Peek(server), "end");
  }
  wire.Stall();
  const std::string said(250000, 'x');
  for (auto& [client, server] : open) {
    REQUIRE(SendAll(server, said));
    server.Reset();
  }
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{2, 60000}})));
  CHECK(!mesh.agent.Await<msg::PodReleased>([](const auto&) { return true; }, 1500).has_value());
  wire.Resume();
  // They are answered by WINDOW_UPDATEs, after the server's side has said its last.
  for (const auto& [client, server] : open) {
    CHECK_EQ(ReceiveUpTo(client, said.size()).size(), said.size());
    CHECK_EQ(Peek(client), "end");
  }
  CHECK(mesh.agent.Await<msg::PodReleased>().has_value());
  CHECK_EQ(mesh.agent.Counter("tunnels_linger_cut"), 0u);
}

TEST("life: what is under way in a pod's tunnels holds its release until the deadline, no longer") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  CuttableProxy wire(mesh.hbone);
  mesh.hbone = wire.address();
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  REQUIRE(shutdown(client.get(), SHUT_WR) == 0);
  CHECK_EQ(Peek(server), "end");
  wire.Stall();
  REQUIRE(SendAll(server, std::string(1000, 'x')));
  server.Reset();
  REQUIRE(mesh.Closed(kInbound).has_value());
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{2, 1000}})));
  const auto any = [](const auto&) { return true; };
  CHECK(!mesh.agent.Await<msg::PodReleased>(any, 700).has_value());
  CHECK(mesh.agent.Await<msg::PodReleased>(any, 1500).has_value());
  CHECK_EQ(mesh.agent.Counter("tunnels_linger_cut"), 1u);
  wire.Resume();
}

TEST("life: a released pod's connections end at the deadline") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{2, 100}})));
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "DRAINED");
  CHECK_EQ(Peek(server), "reset");
  CHECK(mesh.agent.Await<msg::PodReleased>().has_value());
}

TEST("life: a stale tunnel is retried once, and its connection never knows") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  CuttableProxy proxy(mesh.hbone);
  mesh.hbone = proxy.address();
  {
    auto first = mesh.Open();
    REQUIRE(first.first.valid());
  }
  REQUIRE(mesh.Closed(kInbound).has_value());
  // The next CONNECT is left unanswered until its tunnel is cut, as by a peer that was restarted.
  std::atomic<uint64_t> asked{0};
  mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                      [&](const msg::InboundQuestion& q) -> std::optional<msg::InboundAnswer> {
                        asked = q.question;
                        return std::nullopt;
                      });
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
  const UniqueFd client = mesh.Dial();
  REQUIRE(TestAgent::Eventually([&] { return asked.load() != 0; }));
  proxy.Cut();
  REQUIRE(TestAgent::Eventually([&] { return mesh.agent.Counter("tunnel_streams_retried") == 1; }));
  // Otherwise the answer would still be for the connection that was cut, too.
  REQUIRE(mesh.Closed(kInbound).has_value());
  mesh.agent.engine->Answer({TestAgent::Allow(asked)});
  CHECK(SendAll(client, "again"));
  const UniqueFd server = AcceptOne(mesh.app);
  REQUIRE(server.valid());
  CHECK_EQ(ReceiveUpTo(server, 5), "again");
}

TEST("life: the records of connections tell why the tunnel under them was lost") {
  TestMesh mesh;
  CuttableProxy proxy(mesh.hbone);
  mesh.hbone = proxy.address();
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  proxy.Cut();
  for (const auto direction : {kOutbound, kInbound}) {
    const auto closed = mesh.Closed(direction);
    REQUIRE(closed.has_value());
    CHECK_EQ(CodeName(closed), "PEER_RESET");
    CHECK_EQ(closed->detail, "Connection reset by peer");
  }
}

TEST("life: a connection whose tunnel is ended here is not tried on another") {
  TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
  {
    auto first = mesh.Open();
    REQUIRE(first.first.valid());
  }
  REQUIRE(mesh.Closed(kOutbound).has_value());
  // The next CONNECT is left unanswered, on a tunnel that was used before.
  std::atomic<bool> asked{false};
  mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                      [&](const msg::InboundQuestion&) -> std::optional<msg::InboundAnswer> {
                        asked = true;
                        return std::nullopt;
                      });
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
  const UniqueFd client = mesh.Dial();
  REQUIRE(TestAgent::Eventually([&] { return asked.load(); }));
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::RemoveIdentity{IdentityOf("pod1")}})));
  CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "IDENTITY_REMOVED");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(mesh.agent.Counter("tunnel_streams_retried"), 0u);
}

TEST("life: a listener that cannot be watched is tried again and counted, and no accept fails") {
  TestMesh mesh;
  {
    const std::lock_guard lock(mesh.agent.node.mutex);
    // Nobody can wait for a file.
    mesh.agent.node.next_outbound.Reset(memfd_create("no listener", MFD_CLOEXEC));
  }
  mesh.agent.AddPod(5);
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("accept_watch_failed") >= 6; }));
  CHECK_EQ(mesh.agent.Counter("accept_failed"), 0u);
}

TEST("life: connections older than the capture are reported") {
  TestMesh mesh;
  {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.uncaptured = {{At("10.202.5.1", 80), At("10.202.6.1", 999)}};
  }
  mesh.agent.AddPod(5);
  const auto event = mesh.agent.Await<msg::UncapturedConnections>();
  REQUIRE(event.has_value());
  CHECK_EQ(event->pod, 5u);
  CHECK(!event->closed);
  CHECK_EQ(event->connections.size(), 1u);
}

TEST("life: connections older than the capture that cannot be listed or closed are counted") {
  TestMesh mesh;
  const auto set = [&](auto member, const Status& status) {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.*member = status;
  };
  set(&LoopbackNode::find_uncaptured_error, Status::Error("sock_diag", EPERM));
  mesh.agent.AddPod(5);
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("uncaptured_list_failed") == 1; }));
  const auto unlisted = mesh.agent.Await<msg::PodFault>();
  REQUIRE(unlisted.has_value());
  CHECK_EQ(unlisted->pod, 5u);
  CHECK(unlisted->fault == msg::PodFaultKind::kListOld);
  CHECK_EQ(unlisted->detail, "sock_diag: Operation not permitted");
  set(&LoopbackNode::find_uncaptured_error, Status::Ok());
  set(&LoopbackNode::close_uncaptured_error, Status::Error("sock_destroy", EPERM));
  {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.uncaptured = {{At("10.202.6.1", 80), At("10.202.7.1", 999)}};
  }
  mesh.agent.AddPod(6, false, msg::ExistingConnections::kClose);
  const auto event = mesh.agent.Await<msg::UncapturedConnections>();
  REQUIRE(event.has_value());
  CHECK(!event->closed);
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("uncaptured_close_failed") == 1; }));
  const auto unclosed = mesh.agent.Await<msg::PodFault>();
  REQUIRE(unclosed.has_value());
  CHECK(unclosed->fault == msg::PodFaultKind::kCloseOld);
  CHECK_EQ(unclosed->detail, "sock_destroy: Operation not permitted");
}

TEST("life: what somebody undoes of a capture is put back and said, and so is what cannot be") {
  TestMesh mesh;
  mesh.agent.AddPod(5);
  {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.undone = {"rule 472", "sysctls"};
  }
  const auto repaired = mesh.agent.Await<msg::PodFault>();
  REQUIRE(repaired.has_value());
  CHECK(repaired->fault == msg::PodFaultKind::kRepaired);
  CHECK_EQ(repaired->detail, "rule 472, sysctls");
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("capture_repaired") == 1; }));
  {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.repair_error = Status::Error("check routes", 0, "IPv4");
  }
  const auto failed = mesh.agent.Await<msg::PodFault>();
  REQUIRE(failed.has_value());
  CHECK(failed->fault == msg::PodFaultKind::kRepair);
  CHECK_EQ(failed->detail, "check routes (IPv4)");
}

TEST("life: a release that the kernel refuses is tried again, and said once it is done") {
  TestMesh mesh;
  const auto set = [&](const Status& status) {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.release_error = status;
  };
  set(Status::Error("unpin", EBUSY));
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{1, 100}})));
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("release_failed") >= 2; }));
  const auto fault = mesh.agent.Await<msg::PodFault>();
  REQUIRE(fault.has_value());
  CHECK_EQ(fault->pod, 1u);
  CHECK(fault->fault == msg::PodFaultKind::kRelease);
  CHECK_EQ(fault->detail, "unpin: Device or resource busy");
  // Asked for a second time meanwhile, it is still the one release.
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::ReleasePod{1, 100}})));
  CHECK(!mesh.agent.Await<msg::PodReleased>([](const auto&) { return true; }, 50).has_value());
  set(Status::Ok());
  CHECK(mesh.agent.Await<msg::PodReleased>().has_value());
  CHECK_EQ(mesh.agent.node.LastCallOf(1), "released");
}

TEST("life: a drained engine takes no new connections and ends the live ones at its deadline") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  REQUIRE(client.valid() && server.valid());
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::Drain{200}})));
  CHECK(Echoes(client, server));
  CHECK_EQ(Peek(client), "reset");
}

TEST("life: a tunnel that is being dialled when the engine drains serves those who wait for it") {
  TestMesh mesh;
  CuttableProxy wire(mesh.hbone);
  mesh.hbone = wire.address();
  wire.Stall();
  const UniqueFd client = mesh.Dial();
  // Dialled and accepted; TLS does not get through.
  REQUIRE(TestAgent::Eventually([&] {
    return mesh.agent.Counter("tunnels_dialled") == 1 &&
           mesh.agent.Counter("inbound_hbone_accepted") == 1;
  }));
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::Drain{60000}})));
  // Answered by each worker after what it was told before.
  CHECK(mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels).empty());
  wire.Resume();
  const UniqueFd server = AcceptOne(mesh.app);
  CHECK(Echoes(client, server));
  const auto draining = mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels);
  CHECK_EQ(draining.size(), 2u);
  for (const msg::Tunnel& tunnel : draining) CHECK(tunnel.draining);
  CHECK_EQ(shutdown(client.get(), SHUT_WR), 0);
  CHECK_EQ(shutdown(server.get(), SHUT_WR), 0);
  CHECK(TestAgent::Eventually(
      [&] { return mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels).empty(); }));
}

TEST("life: a closed engine answers every call and does nothing") {
  TestMesh mesh;
  auto [client, server] = mesh.Open();
  mesh.agent.engine->Close();
  CHECK_EQ(Peek(client), "reset");
  mesh.agent.engine->Close();
  mesh.agent.engine->Apply(1, {msg::Drain{0}});
  mesh.agent.engine->Answer({msg::DnsAnswer{1, {}}});
  CHECK(mesh.agent.Snapshot<msg::Counter>(msg::kPartCounters).empty());
}

TEST("life: counters have the engine's and the kernel's names") {
  TestMesh mesh;
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("kernel_steered") == 7; }));
  CHECK_EQ(mesh.agent.Counter("connections_live"), 0u);
}

TEST("life: however often the counters are asked for, the kernel's are read once at a time") {
  TestMesh mesh;
  LoopbackNode& node = mesh.agent.node;
  const auto reads = [&] {
    const std::lock_guard lock(node.mutex);
    return node.counter_reads;
  };
  {
    const std::lock_guard lock(node.mutex);
    node.hold_counter_reads = true;
  }
  for (int i = 0; i < 50; ++i) (void)mesh.agent.Counter("connections_live");
  {
    const std::lock_guard lock(node.mutex);
    node.hold_counter_reads = false;
    node.counter_reads_go_on.notify_all();
  }
  // Behind all that was asked for before, on the same thread.
  REQUIRE(FailureOf(mesh.agent.Apply({msg::ReleasePod{99, 0}})));
  CHECK_EQ(reads(), 1);
  (void)mesh.agent.Counter("connections_live");
  CHECK(TestAgent::Eventually([&] { return reads() == 2; }));
}

TEST(
    "life: verdicts and identities are taken back while the control thread is held by the kernel") {
  TestMesh mesh;
  LoopbackNode& node = mesh.agent.node;
  const auto hold = [&](bool held) {
    const std::lock_guard lock(node.mutex);
    node.hold_counter_reads = held;
    node.counter_reads_go_on.notify_all();
  };
  hold(true);
  (void)mesh.agent.Counter("connections_live");  // and the control thread waits
  const auto [client, server] = mesh.Open();
  REQUIRE(client.valid());
  CHECK(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("verdict_invalidated") > 0; }));
  CHECK(!FailureOf(mesh.agent.Apply({msg::RemoveIdentity{IdentityOf("pod1")}})));
  hold(false);
}

TEST("life: threads say who they are") {
  TestMesh mesh;
  CHECK(TestAgent::Eventually([] { return HasThread("gw-control"); }));
  CHECK(TestAgent::Eventually([] { return HasThread("gw-recall"); }));
  CHECK(TestAgent::Eventually([] { return HasThread("gw-worker-0"); }));
}

RUN_TESTS()
