// SPDX-License-Identifier: Apache-2.0
// The whole engine over real sockets: what is refused, how, and what is told about it.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "support/http2_bytes.h"
#include "support/mesh.h"
#include "support/raw_peer.h"
#include "tls/tls_identity.h"

using namespace groundwire;

namespace {

constexpr auto kOutbound = msg::Direction::kOutbound;
constexpr auto kInbound = msg::Direction::kInbound;

std::string OutcomeOf(TestMesh* mesh) {
  const UniqueFd client = mesh->Dial();
  if (Peek(client) != "reset") return "client was not reset";
  const auto event = mesh->Closed(kOutbound);
  if (event && event->opened) return "was opened";
  return CodeName(event);
}

/// Of 256 that are nobody's.
std::string AddressOfClient(int client) { return "10.202.100." + std::to_string(client); }

constexpr uint32_t kLabelOfPod2 = 72;

/// From now on the mesh knows whose address that of pod 2 is.
void LabelPod2(TestMesh* mesh) {
  CHECK(!FailureOf(mesh->agent.Apply(
      {msg::SetPeers{{{*IpAddress::Parse(TestAgent::AddressOf(2)), kLabelOfPod2}}}})));
}

/// What failed at pod 2 before it was decided.
uint64_t UndecidedFailures(TestMesh* mesh, ErrorCode code) {
  uint64_t failed = 0;
  for (const msg::Flow& flow : mesh->agent.Snapshot<msg::Flow>(msg::kPartFlows)) {
    if (flow.flow_label == kLabelOfPod2 && flow.code == static_cast<uint16_t>(code))
      failed += flow.failed;
  }
  return failed;
}

}  // namespace

TEST("refusal: an outbound refusal resets the client and is told once") {
  TestMesh mesh;
  mesh.agent.SetRules(
      [](const msg::OutboundQuestion& q) {
        return TestAgent::Refusal(q.question, ErrorCode::kNoHealthyUpstream);
      },
      nullptr);
  CHECK_EQ(OutcomeOf(&mesh), "NO_HEALTHY_UPSTREAM");
  CHECK(!mesh.agent.Await<msg::ConnectionClosed>([](const auto&) { return true; }, 50).has_value());
}

TEST("refusal: what is denied, or its destination refuses, counts as opened, closed and failed") {
  const std::string all = "1 opened, 1 closed, 1 failed";
  const auto deny = [](const msg::InboundQuestion& q) {
    return TestAgent::Deny(q.question, ErrorCode::kPolicyDenied);
  };
  for (const bool tunnel : {true, false}) {
    TestMesh mesh;
    const auto outbound = [&](const msg::OutboundQuestion& q) {
      return tunnel ? mesh.ToPod2(q.question) : mesh.Direct(q.question, msg::HopKind::kHandoff);
    };
    mesh.agent.SetRules(outbound, deny);
    CHECK_EQ(OutcomeOf(&mesh), tunnel ? "HBONE_REFUSED" : "POLICY_DENIED");
    CHECK_EQ(CountsOf(&mesh, kOutbound), all);
    CHECK_EQ(CountsOf(&mesh, kInbound), all);
  }
  TestMesh plain;
  plain.agent.SetRules(nullptr, deny);
  const UniqueFd stranger = ConnectTo(
      At("10.202.2.1", PortOf(plain.agent.node.ListenersOf(2).inbound_plaintext)), "10.202.9.9");
  CHECK_EQ(Peek(stranger), "reset");
  CHECK_EQ(CountsOf(&plain, kInbound), all);
  TestMesh deaf;
  deaf.app.Reset();
  CHECK_EQ(OutcomeOf(&deaf), "HBONE_REFUSED");
  CHECK_EQ(CountsOf(&deaf, kOutbound), all);
  CHECK_EQ(CountsOf(&deaf, kInbound), all);
}

TEST("refusal: what is refused before it is decided has failed, and was never opened") {
  TestMesh mesh;
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return TestAgent::Hbone(q.question, mesh.hbone, "10.202.3.1:80", {IdentityOf("pod2")});
      },
      nullptr);
  CHECK_EQ(OutcomeOf(&mesh), "HBONE_REFUSED");
  CHECK_EQ(CountsOf(&mesh, kOutbound), "1 opened, 1 closed, 1 failed");
  CHECK_EQ(CountsOf(&mesh, kInbound), "0 opened, 0 closed, 1 failed");
  TestMesh nobody;
  nobody.agent.SetRules(
      [](const msg::OutboundQuestion& q) {
        return TestAgent::Refusal(q.question, ErrorCode::kNoHealthyUpstream);
      },
      nullptr);
  CHECK_EQ(OutcomeOf(&nobody), "NO_HEALTHY_UPSTREAM");
  CHECK_EQ(CountsOf(&nobody, kOutbound), "0 opened, 0 closed, 1 failed");
}

TEST("refusal: a denied peer gets 401, and both ends say why") {
  TestMesh mesh;
  mesh.agent.SetRules([&](const msg::OutboundQuestion& q) { return mesh.ToPod2(q.question); },
                      [](const msg::InboundQuestion& q) {
                        return TestAgent::Deny(q.question, ErrorCode::kPolicyDenied);
                      });
  const UniqueFd client = mesh.Dial();
  CHECK_EQ(Peek(client), "reset");
  const auto out = mesh.Closed(kOutbound);
  const auto in = mesh.Closed(kInbound);
  REQUIRE(out && in);
  CHECK_EQ(CodeName(out), "HBONE_REFUSED");
  CHECK_EQ(out->hbone_status, 401);
  CHECK_EQ(CodeName(in), "POLICY_DENIED");
  CHECK_EQ(in->hbone_status, 401);
}

TEST("refusal: an application that does not listen gives 503") {
  TestMesh mesh;
  mesh.app.Reset();
  const UniqueFd client = mesh.Dial();
  CHECK_EQ(Peek(client), "reset");
  const auto out = mesh.Closed(kOutbound);
  REQUIRE(out.has_value());
  CHECK_EQ(out->hbone_status, 503);
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "CONNECT_REFUSED");
}

TEST("refusal: an application that does not answer is dialled for a while") {
  TestMesh mesh([](msg::EngineOptions* options) { options->connect_timeout_ms = 100; });
  // Full: the next connect waits.
  REQUIRE(listen(mesh.app.get(), 0) == 0);
  const UniqueFd filler = ConnectTo(mesh.app_address);
  REQUIRE(filler.valid());
  mesh.agent.SetRules(nullptr, [&](const msg::InboundQuestion& q) {
    msg::InboundAnswer answer =
        TestAgent::Allow(q.question, msg::BitOf(msg::ConsultedField::kDestinationPort));
    answer.deliver_port = mesh.app_address.port;
    return answer;
  });
  const uint16_t port = PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext);
  const UniqueFd client = ConnectTo(At("10.202.2.1", port), "10.202.9.9");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "CONNECT_TIMEOUT");
}

TEST("refusal: a destination towards which no source port is left is told from a full agent") {
  TestMesh mesh;
  // Both ports of the range are somebody's.
  const std::string path = "/proc/sys/net/ipv4/ip_local_port_range";
  const UniqueFd taken[] = {ListenOn("0.0.0.0", 2000), ListenOn("0.0.0.0", 2001)};
  std::string range;
  std::getline(std::ifstream(path), range);
  for (const msg::HopKind hop : {msg::HopKind::kPassthrough, msg::HopKind::kHbone}) {
    mesh.agent.SetRules(
        [&](const msg::OutboundQuestion& q) {
          std::ofstream(path) << "2000 2001" << std::flush;
          return hop == msg::HopKind::kHbone ? mesh.ToPod2(q.question)
                                             : mesh.Direct(q.question, hop);
        },
        nullptr);
    REQUIRE(!FailureOf(mesh.agent.Apply({msg::InvalidateVerdicts{mesh.agent.verdicts_given()}})));
    // Until each worker has forgotten the answer of the round before.
    (void)mesh.agent.Snapshot<msg::Tunnel>(msg::kPartTunnels);
    CHECK_EQ(OutcomeOf(&mesh), "SOURCE_PORTS_EXHAUSTED");
    std::ofstream(path) << range << std::flush;
  }
  CHECK_EQ(mesh.agent.Counter("source_ports_exhausted"), 2u);
}

TEST("refusal: an authority that is not the pod's own gives 400") {
  TestMesh mesh;
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return TestAgent::Hbone(q.question, mesh.hbone, "10.202.3.1:80", {IdentityOf("pod2")});
      },
      nullptr);
  const UniqueFd client = mesh.Dial();
  CHECK_EQ(Peek(client), "reset");
  const auto in = mesh.Closed(kInbound);
  REQUIRE(in.has_value());
  CHECK_EQ(CodeName(in), "HBONE_WRONG_ADDRESS");
  // Where it was dialled; what it asks for is told by the authority.
  CHECK_EQ(in->original_dst.ToString(), mesh.hbone.ToString());
  CHECK_EQ(in->hbone_authority, "10.202.3.1:80");
  CHECK_EQ(mesh.agent.Counter("hbone_wrong_addresses"), 1u);
  const auto out = mesh.Closed(kOutbound);
  REQUIRE(out.has_value());
  CHECK_EQ(out->hbone_status, 400);
}

TEST("refusal: an authority of the pod's other family gives 400") {
  TestMesh mesh;
  mesh.agent.AddPod(3, false, msg::ExistingConnections::kKeep, {"10.202.3.1", "fd77::3"});
  const SocketAddress hbone =
      At("10.202.3.1", PortOf(mesh.agent.node.ListenersOf(3).inbound_hbone));
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return TestAgent::Hbone(q.question, hbone, "[fd77::3]:80", {IdentityOf("pod3")});
      },
      [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  CHECK_EQ(OutcomeOf(&mesh), "HBONE_REFUSED");
  const auto in = mesh.Closed(kInbound);
  REQUIRE(in.has_value());
  CHECK_EQ(CodeName(in), "HBONE_WRONG_ADDRESS");
  CHECK_EQ(in->hbone_status, 400);
}

TEST("refusal: an authority longer than any that is valid gives 400, and a cut record") {
  TestMesh mesh;
  // A port may have leading zeros, so only its length is wrong.
  const std::string authority = "shop.test:" + std::string(10000, '0') + "80";
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return TestAgent::Hbone(q.question, mesh.hbone, authority, {IdentityOf("pod2")});
      },
      [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  const UniqueFd client = mesh.Dial();
  CHECK_EQ(Peek(client), "reset");
  const auto in = mesh.Closed(kInbound);
  REQUIRE(in.has_value());
  CHECK_EQ(CodeName(in), "HBONE_BAD_REQUEST");
  CHECK_EQ(in->hbone_status, 400);
  CHECK_EQ(in->hbone_authority.size(), 259u);
}

TEST("refusal: fails closed when no verdict comes in time") {
  TestMesh mesh([](msg::EngineOptions* options) { options->verdict_timeout_ms = 100; });
  mesh.agent.SetRules(nullptr, nullptr);
  CHECK_EQ(OutcomeOf(&mesh), "VERDICT_TIMEOUT");
}

TEST("refusal: connections beyond the bound on waiting ones are refused at once") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->verdict_queue_max = 1;
    options->worker_threads = 1;
  });
  mesh.agent.SetRules(nullptr, nullptr);
  const UniqueFd waiting = mesh.Dial();
  CHECK_EQ(OutcomeOf(&mesh), "VERDICT_QUEUE_FULL");
}

TEST("refusal: beyond the bound on connections") {
  TestMesh mesh([](msg::EngineOptions* options) { options->connections_max = 0; });
  CHECK_EQ(OutcomeOf(&mesh), "LIMIT_CONNECTIONS");
}

TEST("refusal: a pod may have as many connections as are left, so that others always find some") {
  TestMesh mesh([](msg::EngineOptions* options) { options->connections_max = 8; });
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return mesh.Direct(q.question, msg::HopKind::kPassthrough);
      },
      nullptr);
  std::vector<std::pair<UniqueFd, UniqueFd>> greedy;
  for (int i = 0; i < 4; ++i) {
    greedy.push_back(mesh.Open());
    REQUIRE(greedy.back().first.valid());
  }
  CHECK_EQ(OutcomeOf(&mesh), "LIMIT_CONNECTIONS");
  CHECK_EQ(mesh.agent.Counter("limit_pod_connections"), 1u);
  CHECK_EQ(mesh.agent.Counter("limit_connections"), 0u);
  const UniqueFd other =
      ConnectTo(At("10.202.77.7", PortOf(mesh.agent.node.ListenersOf(2).outbound)), "10.202.2.1");
  CHECK(SendAll(other, "a"));
  CHECK_EQ(ReceiveUpTo(AcceptOne(mesh.app), 1), "a");
  greedy.clear();
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("connections_live") == 1; }));
  CHECK(mesh.Open().first.valid());
}

TEST("refusal: a CONNECT may take the last place, and none beyond it") {
  TestMesh mesh([](msg::EngineOptions* options) { options->connections_max = 1; });
  RawPeer peer(&mesh);
  REQUIRE(peer.connected);
  peer.Say(http2::kPreface + http2::Frame(http2::kSettings, 0, 0, "") +
           http2::Connect(1, mesh.app_address.ToString()));
  const UniqueFd last = AcceptOne(mesh.app);
  REQUIRE(last.valid());
  peer.Say(http2::Connect(3, mesh.app_address.ToString()));
  const auto refused = mesh.Closed(kInbound);
  REQUIRE(refused.has_value());
  CHECK_EQ(CodeName(refused), "LIMIT_CONNECTIONS");
  CHECK_EQ(refused->hbone_status, 503);
  CHECK_EQ(mesh.agent.Counter("limit_connections"), 1u);
  CHECK_EQ(mesh.agent.Counter("limit_pod_connections"), 0u);
}

TEST(
    "refusal: a source address that is not the pod's own is forged, and no verdict is asked for "
    "it") {
  TestMesh mesh;
  const UniqueFd client = ConnectTo(mesh.OutboundAddress(), "10.202.2.1");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "FORGED_SOURCE");
  CHECK_EQ(mesh.agent.Counter("forged_source"), 1u);
  CHECK_EQ(mesh.agent.questions(), 0);
}

TEST("refusal: a pod that dials its own listener would loop") {
  TestMesh mesh;
  const UniqueFd client =
      ConnectTo(At("10.202.1.1", PortOf(mesh.agent.node.ListenersOf(1).outbound)), "10.202.1.1");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kOutbound)), "ILLEGAL_DESTINATION");
}

TEST("refusal: plaintext that would be delivered to the agent's own listener would loop") {
  TestMesh mesh;
  const uint16_t port = PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext);
  const UniqueFd client = ConnectTo(At("10.202.2.1", port), "10.202.9.9");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "ILLEGAL_DESTINATION");
}

TEST("refusal: nothing is delivered to the agent's own listener, whatever way it comes") {
  for (const msg::HopKind hop : {msg::HopKind::kHbone, msg::HopKind::kHandoff}) {
    TestMesh mesh([](msg::EngineOptions* options) { options->worker_threads = 1; });
    const bool tunnel = hop == msg::HopKind::kHbone;
    mesh.agent.SetRules(
        [&](const msg::OutboundQuestion& q) {
          return tunnel ? mesh.ToPod2(q.question) : mesh.Direct(q.question, hop);
        },
        [&](const msg::InboundQuestion& q) {
          msg::InboundAnswer answer =
              TestAgent::Allow(q.question, msg::BitOf(msg::ConsultedField::kDestinationPort));
          answer.deliver_port = PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext);
          return answer;
        });
    const UniqueFd client = mesh.Dial();
    CHECK_EQ(Peek(client), "reset");
    CHECK_EQ(CodeName(mesh.Closed(tunnel ? kInbound : kOutbound)), "ILLEGAL_DESTINATION");
    CHECK_EQ(mesh.agent.Counter("illegal_destination"), 1u);
  }
}

TEST("refusal: a delivery that comes back is not delivered again") {
  TestMesh mesh;
  const PodListeners listeners = mesh.agent.node.ListenersOf(2);
  for (const int listener : {listeners.inbound_plaintext, listeners.inbound_hbone}) {
    const UniqueFd client = ConnectTo(At("10.202.2.1", PortOf(listener)), kReturnedClient);
    CHECK_EQ(Peek(client), "reset");
    CHECK_EQ(CodeName(mesh.Closed(kInbound)), "DELIVERY_RETURNED");
  }
  CHECK_EQ(mesh.agent.Counter("delivery_returned"), 2u);
  CHECK_EQ(mesh.agent.questions(), 0);
}

TEST("refusal: plaintext without an identity is refused by its verdict") {
  TestMesh mesh;
  mesh.agent.SetRules(nullptr, [](const msg::InboundQuestion& q) {
    return TestAgent::Deny(q.question, ErrorCode::kPolicyNotAllowed);
  });
  const uint16_t port = PortOf(mesh.agent.node.ListenersOf(2).inbound_plaintext);
  const UniqueFd client = ConnectTo(At("10.202.2.1", port), "10.202.9.9");
  CHECK_EQ(Peek(client), "reset");
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "POLICY_NOT_ALLOWED");
}

TEST("refusal: a peer of another identity than expected") {
  TestMesh mesh;
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return TestAgent::Hbone(q.question, mesh.hbone, mesh.app_address.ToString(),
                                {IdentityOf("other")});
      },
      nullptr);
  const UniqueFd client = mesh.Dial();
  CHECK_EQ(Peek(client), "reset");
  const auto out = mesh.Closed(kOutbound);
  REQUIRE(out.has_value());
  CHECK_EQ(CodeName(out), "TLS_UNEXPECTED_IDENTITY");
  CHECK_EQ(out->detail,
           "certificate of " + IdentityOf("pod2") + ", expected " + IdentityOf("other"));
}

TEST("refusal: a peer signed by a stranger") {
  TestMesh mesh;
  const TestAuthority stranger("stranger");
  // Pod 2 shows a certificate of another root, and trusts ours.
  msg::SetIdentity identity = stranger.Sign(IdentityOf("pod2"));
  identity.trust_roots_pem = mesh.agent.authority().root_pem();
  REQUIRE(!FailureOf(mesh.agent.Apply({identity})));
  const UniqueFd client = mesh.Dial();
  CHECK_EQ(Peek(client), "reset");
  const auto out = mesh.Closed(kOutbound);
  const auto in = mesh.Closed(kInbound);
  REQUIRE(out && in);
  CHECK_EQ(CodeName(out), "TLS_HANDSHAKE_FAILED");
  CHECK(out->detail.starts_with("certificate of " + IdentityOf("pod2") + ": "));
  CHECK_EQ(CodeName(in), "TLS_HANDSHAKE_FAILED");
  CHECK(in->detail.starts_with("the peer says: "));
}

TEST("refusal: a client of another trust domain is told from a broken one") {
  TestMesh mesh;
  const std::string foreign = "spiffe://elsewhere.example/ns/test/sa/pod1";
  msg::CapturePod pod;
  pod.pod = 3;
  pod.addresses = {*IpAddress::Parse("10.202.3.1")};
  pod.identity = foreign;
  REQUIRE(!FailureOf(mesh.agent.Apply({mesh.agent.authority().Sign(foreign), pod})));
  const UniqueFd client =
      ConnectTo(At("10.202.77.7", PortOf(mesh.agent.node.ListenersOf(3).outbound)), "10.202.3.1");
  CHECK_EQ(Peek(client), "reset");
  const auto in = mesh.Closed(kInbound);
  REQUIRE(in.has_value());
  CHECK_EQ(CodeName(in), "TLS_TRUST_DOMAIN");
  CHECK_EQ(in->detail, "certificate of trust domain elsewhere.example, ours is cluster.local");
  // The dialling side learns of it after its handshake, by an alert.
  const auto out = mesh.Closed(kOutbound);
  REQUIRE(out.has_value());
  CHECK(out->detail.starts_with("the peer says: "));
}

TEST("refusal: without a certificate nothing is dialled") {
  TestMesh mesh;
  REQUIRE(!FailureOf(mesh.agent.Apply({msg::RemoveIdentity{IdentityOf("pod1")}})));
  CHECK_EQ(OutcomeOf(&mesh), "IDENTITY_UNAVAILABLE");
  CHECK_EQ(mesh.agent.Counter("tunnels_dial_failed"), 1u);
}

TEST("refusal: a peer that takes the connection and says nothing is a handshake that failed") {
  TestMesh mesh([](msg::EngineOptions* options) { options->tls_timeout_ms = 100; });
  const UniqueFd silent = ListenOn("10.202.0.97");
  mesh.hbone = At("10.202.0.97", PortOf(silent.get()));
  CHECK_EQ(OutcomeOf(&mesh), "TLS_TIMEOUT");
  CHECK_EQ(mesh.agent.Counter("tls_handshakes_failed"), 1u);
  CHECK_EQ(mesh.agent.Counter("tunnels_dial_failed"), 1u);
}

TEST("refusal: a plaintext client on the HBONE port is ended, counted and told") {
  TestMesh mesh;
  const UniqueFd client = ConnectTo(mesh.hbone);
  CHECK(SendAll(client, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"));
  char rest[256];
  while (recv(client.get(), rest, sizeof rest, 0) > 0) {
  }
  const auto in = mesh.Closed(kInbound);
  REQUIRE(in.has_value());
  CHECK_EQ(CodeName(in), "TLS_HANDSHAKE_FAILED");
  CHECK(!in->detail.empty());
  CHECK_EQ(mesh.agent.Counter("tls_handshakes_failed"), 1u);
  auto [after, server] = mesh.Open();  // loses nothing that worked before
  CHECK(after.valid());
}

TEST("refusal: a client that says nothing on the HBONE port is ended in time") {
  TestMesh mesh([](msg::EngineOptions* options) { options->tls_timeout_ms = 100; });
  const UniqueFd client = ConnectTo(mesh.hbone);
  CHECK_EQ(CodeName(mesh.Closed(kInbound)), "TLS_TIMEOUT");
  CHECK_EQ(mesh.agent.Counter("tls_handshakes_failed"), 1u);
  CHECK(Peek(client) != "nothing");
}

TEST("refusal: a client that never finishes its handshake gives way to one that does") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->tls_timeout_ms = 20000;
  });
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 256; ++i) silent.push_back(ConnectTo(mesh.hbone, AddressOfClient(i)));
  REQUIRE(TestAgent::Eventually(
      [&] { return mesh.agent.Counter("inbound_hbone_accepted") == silent.size(); }));
  CHECK_EQ(mesh.agent.Counter("handshakes_displaced"), 0u);
  // Of another pod: nobody has to go for it.
  const UniqueFd elsewhere =
      ConnectTo(At("10.202.1.1", PortOf(mesh.agent.node.ListenersOf(1).inbound_hbone)));
  REQUIRE(TestAgent::Eventually(
      [&] { return mesh.agent.Counter("inbound_hbone_accepted") == silent.size() + 1; }));
  CHECK_EQ(mesh.agent.Counter("handshakes_displaced"), 0u);

  // All of them are late now: a tenth of the time they may take has passed.
  std::this_thread::sleep_for(std::chrono::seconds(2));
  auto [client, server] = mesh.Open();
  CHECK(client.valid());
  CHECK_EQ(mesh.agent.Counter("handshakes_displaced"), 1u);
  CHECK_EQ(mesh.agent.Counter("tls_handshakes_failed"), 0u);
  const auto oldest = mesh.Closed(kInbound);
  REQUIRE(oldest.has_value());
  CHECK_EQ(CodeName(oldest), "LIMIT_CONNECTIONS");
  CHECK_EQ(oldest->source.port, PortOf(silent.front().get()));
  CHECK(Peek(silent.front()) != "nothing");
  CHECK_EQ(Peek(silent[1], 0), "nothing");
  CHECK_EQ(Peek(elsewhere, 0), "nothing");
}

TEST("refusal: in a herd of handshakes the newest gives way, so that the oldest get through") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->tls_timeout_ms = 600000;
  });
  std::vector<UniqueFd> herd;
  for (int i = 0; i < 256; ++i) herd.push_back(ConnectTo(mesh.hbone, AddressOfClient(i)));
  const UniqueFd late = ConnectTo(mesh.hbone);
  CHECK(Peek(late) != "nothing");
  CHECK_EQ(mesh.agent.Counter("limit_tunnels"), 1u);
  CHECK_EQ(mesh.agent.Counter("handshakes_displaced"), 0u);
  const auto refused = mesh.Closed(kInbound);
  CHECK_EQ(CodeName(refused), "LIMIT_CONNECTIONS");
  CHECK_EQ(Peek(herd.front(), 0), "nothing");
  // Where one is through, there is room again.
  herd.front().Reset();
  REQUIRE(mesh.Closed(kInbound).has_value());
  auto [client, server] = mesh.Open();
  CHECK(client.valid());
}

TEST("refusal: handshakes are bounded over all pods, and the pod with most makes room") {
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 4096);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->tls_timeout_ms = 60000;
  });
  const auto hbone_of = [&](uint32_t pod) {
    return At("10.202." + std::to_string(pod) + ".1",
              PortOf(mesh.agent.node.ListenersOf(pod).inbound_hbone));
  };
  std::vector<UniqueFd> silent;
  for (uint32_t pod = 3; pod <= 7; ++pod) {
    mesh.agent.AddPod(pod);
    // One pod with a few more than the others: 256, and 4 x 192.
    for (int i = 0; i < (pod == 5 ? 256 : 192); ++i)
      silent.push_back(ConnectTo(hbone_of(pod), AddressOfClient(i)));
    REQUIRE(TestAgent::Eventually(
        [&] { return mesh.agent.Counter("inbound_hbone_accepted") == silent.size(); }));
  }
  REQUIRE(silent.size() == 1024);
  CHECK_EQ(mesh.agent.Counter("limit_tunnels"), 0u);
  const UniqueFd beyond = ConnectTo(mesh.hbone);
  CHECK_EQ(Peek(beyond), "reset");
  CHECK_EQ(mesh.agent.Counter("limit_tunnels"), 1u);
  REQUIRE(mesh.Closed(kInbound).has_value());

  std::this_thread::sleep_for(std::chrono::seconds(6));  // all of them are late now
  const UniqueFd next = ConnectTo(mesh.hbone);
  const auto displaced = mesh.Closed(kInbound);
  REQUIRE(displaced.has_value());
  CHECK_EQ(displaced->pod, 5u);
  CHECK_EQ(mesh.agent.Counter("handshakes_displaced"), 1u);
  CHECK_EQ(Peek(next, 0), "nothing");
}

TEST("refusal: an address has as many handshakes with a pod as are left for others") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->tls_timeout_ms = 40000;
  });
  const UniqueFd bystander = ConnectTo(mesh.hbone, AddressOfClient(1));
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 128; ++i) silent.push_back(ConnectTo(mesh.hbone));
  const UniqueFd beyond = ConnectTo(mesh.hbone);
  CHECK_EQ(Peek(beyond), "reset");
  CHECK_EQ(mesh.agent.Counter("limit_peer_tunnels"), 1u);
  CHECK_EQ(mesh.agent.Counter("limit_tunnels"), 0u);
  const auto refused = mesh.Closed(kInbound);
  REQUIRE(refused.has_value());
  CHECK_EQ(CodeName(refused), "LIMIT_CONNECTIONS");
  CHECK_EQ(refused->detail, "too many tunnels from this address");
  auto [client, server] = mesh.Open();
  CHECK(client.valid());

  // Once all are late it is one of its own that gives way, not the oldest.
  std::this_thread::sleep_for(std::chrono::seconds(5));
  const UniqueFd newest = ConnectTo(mesh.hbone);
  const auto displaced = mesh.Closed(kInbound);
  REQUIRE(displaced.has_value());
  CHECK_EQ(displaced->source.port, PortOf(silent.front().get()));
  CHECK_EQ(mesh.agent.Counter("handshakes_displaced"), 1u);
  CHECK_EQ(Peek(bystander, 0), "nothing");
  CHECK_EQ(Peek(newest, 0), "nothing");
}

TEST("refusal: an address has as many tunnels as are left for others") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->tunnels_accepted_max = 4;
  });
  RawPeer first(&mesh);
  const RawPeer second(&mesh);
  REQUIRE(first.connected && second.connected);
  const RawPeer third(&mesh);
  CHECK(!third.connected);
  CHECK_EQ(mesh.agent.Counter("limit_peer_tunnels"), 1u);
  const auto refused = mesh.Closed(kInbound);
  REQUIRE(refused.has_value());
  CHECK_EQ(CodeName(refused), "LIMIT_CONNECTIONS");
  CHECK_EQ(refused->detail, "too many tunnels from this address");
  auto [client, server] = mesh.Open();
  CHECK(client.valid());
  // Where one of its own ends there is room for another.
  SSL_shutdown(first.ssl.get());
  first.Hear();
  const RawPeer fourth(&mesh);
  CHECK(fourth.connected);
  CHECK_EQ(mesh.agent.Counter("limit_peer_tunnels"), 1u);
}

TEST("refusal: a tunnel that a peer keeps without a stream is ended") {
  TestMesh mesh([](msg::EngineOptions* options) { options->tunnel_idle_ms = 100; });
  RawPeer peer(&mesh);
  REQUIRE(peer.connected);
  peer.Hear();
  CHECK_EQ(mesh.agent.Counter("tunnels_idle_closed"), 1u);
}

TEST("refusal: a peer that speaks no HTTP/2 is told by its name") {
  TestMesh mesh;
  LabelPod2(&mesh);
  RawPeer peer(&mesh);
  REQUIRE(peer.connected);
  peer.Say("GET / HTTP/1.1\r\nHost: shop\r\n\r\nand more, for what is no preface");
  peer.Hear();
  const auto in = mesh.Closed(kInbound);
  REQUIRE(in.has_value());
  CHECK_EQ(CodeName(in), "HBONE_PROTOCOL");
  CHECK_EQ(in->source_identity, IdentityOf("pod1"));
  CHECK_EQ(in->original_dst.ToString(), mesh.hbone.ToString());
  CHECK(!in->detail.empty());
  CHECK_EQ(UndecidedFailures(&mesh, ErrorCode::kHboneProtocol), 1u);
  CHECK_EQ(mesh.agent.Counter("tls_handshakes_failed"), 0u);
}

TEST("refusal: a peer that closes its tunnel ends what it had on it") {
  TestMesh mesh;
  RawPeer peer(&mesh);
  REQUIRE(peer.connected);
  peer.Say(http2::kPreface + http2::Frame(http2::kSettings, 0, 0, "") +
           http2::Connect(1, mesh.app_address.ToString()));
  const UniqueFd server = AcceptOne(mesh.app);
  REQUIRE(server.valid());
  SSL_shutdown(peer.ssl.get());
  CHECK_EQ(shutdown(peer.socket.get(), SHUT_WR), 0);
  CHECK_EQ(Peek(server), "reset");
  const auto in = mesh.Closed(kInbound);
  CHECK_EQ(CodeName(in), "HBONE_GOAWAY");
  REQUIRE(in.has_value());
  CHECK_EQ(in->detail, "peer closed the connection");
}

TEST("refusal: requests that are no CONNECT, or to nowhere, are told with who asked for what") {
  TestMesh mesh;
  LabelPod2(&mesh);
  RawPeer peer(&mesh);
  REQUIRE(peer.connected);
  peer.Say(http2::kPreface + http2::Frame(http2::kSettings, 0, 0, ""));
  uint32_t stream = 1;
  for (const std::string& fields : {
           http2::Header(":method", "GET") + http2::Header(":scheme", "https") +
               http2::Header(":path", "/") + http2::Header(":authority", "shop.test:80"),
           http2::Header(":method", "CONNECT") + http2::Header(":authority", ""),
           http2::Header(":method", "CONNECT"),
           http2::Header(":method", "GET") + http2::Header(":authority", "shop.test:80"),
       }) {
    peer.Say(http2::Frame(http2::kHeaders, http2::kEndHeaders, stream, fields));
    stream += 2;
    const auto in = mesh.Closed(kInbound);
    REQUIRE(in.has_value());
    CHECK_EQ(CodeName(in), "HBONE_BAD_REQUEST");
    CHECK_EQ(in->source_identity, IdentityOf("pod1"));
    CHECK_EQ(in->destination_identity, IdentityOf("pod2"));
    if (fields.find("shop.test") != std::string::npos) {
      CHECK_EQ(in->hbone_authority, "shop.test:80");
    }
  }
  CHECK_EQ(mesh.agent.Counter("hbone_bad_requests"), 4u);
  CHECK_EQ(UndecidedFailures(&mesh, ErrorCode::kHboneBadRequest), 4u);
  CHECK_EQ(mesh.agent.questions(), 0);
}

TEST("refusal: a handoff to a pod that nothing is known of counts by the label of that pod") {
  TestMesh mesh;
  LabelPod2(&mesh);
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return mesh.Direct(q.question, msg::HopKind::kHandoff);
      },
      [](const msg::InboundQuestion& q) {
        auto answer = TestAgent::Deny(q.question, ErrorCode::kUnknownDestinationWorkload);
        answer.flow_label = 0;
        return answer;
      });
  CHECK_EQ(OutcomeOf(&mesh), "UNKNOWN_DESTINATION_WORKLOAD");
  CHECK_EQ(UndecidedFailures(&mesh, ErrorCode::kUnknownDestinationWorkload), 1u);
}

TEST("refusal: commands that cannot be carried out say what and where") {
  TestMesh mesh;
  msg::SetIdentity broken = mesh.agent.authority().Sign(IdentityOf("pod3"));
  broken.private_key_pem = {'n', 'o'};
  auto failed = FailureOf(mesh.agent.Apply({msg::SetPeers{}, broken}));
  REQUIRE(failed.has_value());
  CHECK_EQ(failed->index, 1u);
  CHECK_EQ(failed->op, "parse private key");
  {
    const std::lock_guard lock(mesh.agent.node.mutex);
    mesh.agent.node.capture_error = Status::Error("setns", ENOENT, "/run/netns/gone");
  }
  msg::CapturePod pod;
  pod.pod = 9;
  failed = FailureOf(mesh.agent.Apply({pod}));
  REQUIRE(failed.has_value());
  CHECK_EQ(failed->op, "setns");
  CHECK_EQ(failed->errno_value, ENOENT);
  failed = FailureOf(mesh.agent.Apply({msg::ReleasePod{9, 0}}));
  REQUIRE(failed.has_value());
  CHECK_EQ(failed->op, "release pod");
}

RUN_TESTS()
