// SPDX-License-Identifier: Apache-2.0
// Applications that do not read: what they cost the node, and whom they hold up.
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "support/mesh.h"

using namespace groundwire;

namespace {

constexpr size_t kMebibyte = 1 << 20;

/// The mesh of one worker, and a third pod that pod 1 calls too, at 10.202.77.8.
struct ThreePods : TestMesh {
  explicit ThreePods(uint32_t kept_memory)
      : TestMesh([kept_memory](msg::EngineOptions* options) {
          options->worker_threads = 1;
          options->kept_memory_bytes = kept_memory;
          options->stream_window_bytes = 4 << 20;
        }) {
    agent.AddPod(3);
    other_app = ListenOn("10.202.3.1");
    agent.SetRules(
        [this](const msg::OutboundQuestion& q) {
          return q.original_dst.ip == At("10.202.77.8", 1).ip ? ToPod3(q.question)
                                                              : ToPod2(q.question);
        },
        [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  }
  msg::OutboundAnswer ToPod3(uint64_t question) {
    const SocketAddress third = At("10.202.3.1", PortOf(other_app.get()));
    return TestAgent::Hbone(question,
                            At("10.202.3.1", PortOf(agent.node.ListenersOf(3).inbound_hbone)),
                            third.ToString(), {IdentityOf("pod3")});
  }
  /// A connection of pod 1 to pod 3 that has carried a byte each way.
  std::pair<UniqueFd, UniqueFd> OpenOther() {
    UniqueFd client =
        ConnectTo(At("10.202.77.8", PortOf(agent.node.ListenersOf(1).outbound)), "10.202.1.1");
    if (!SendAll(client, "a")) return {};
    UniqueFd server = AcceptOne(other_app);
    if (!server.valid() || ReceiveUpTo(server, 1) != "a" || !SendAll(server, "b")) return {};
    if (ReceiveUpTo(client, 1) != "b") return {};
    return {std::move(client), std::move(server)};
  }
  /// Connections to pod 2 whose server does not read, each as full as it gets.
  std::vector<std::pair<UniqueFd, UniqueFd>> OpenStuck(int count) {
    std::vector<std::pair<UniqueFd, UniqueFd>> stuck;
    const std::string piece(65536, 'x');
    const auto send_more = [&](const UniqueFd& client) {
      return send(client.get(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
    };
    for (int i = 0; i < count; ++i) {
      stuck.push_back(Open());
      if (!stuck.back().first.valid()) return {};
      while (send_more(stuck.back().first)) continue;
    }
    // Until none takes any more for a while.
    for (int idle = 0; idle < 20; ++idle) {
      for (const auto& pair : stuck) {
        while (send_more(pair.first)) idle = 0;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return stuck;
  }

  UniqueFd other_app;
};

/// Whether so much passes as it was sent.
bool Passes(const UniqueFd& from, const UniqueFd& to, size_t size) {
  const std::string bytes(size, 'y');
  std::thread sender([&] { (void)SendAll(from, bytes); });
  const bool same = ReceiveUpTo(to, size) == bytes;
  sender.join();
  return same;
}

}  // namespace

TEST(
    "memory: readers that stand still keep within the bound, slow their senders and nobody else, "
    "and what they kept is given back") {
  constexpr uint32_t kMax = 32 * kMebibyte;
  ThreePods mesh(kMax);
  CHECK_EQ(mesh.agent.Counter("kept_bytes_max"), kMax);
  auto read = mesh.Open();
  REQUIRE(read.first.valid());
  CHECK(Passes(read.first, read.second, 16 * kMebibyte));
  auto other = mesh.OpenOther();
  REQUIRE(other.first.valid());
  auto stuck = mesh.OpenStuck(150);
  REQUIRE(stuck.size() == 150);
  const uint64_t kept = mesh.agent.Counter("kept_bytes_live");
  CHECK(kept > kMebibyte);
  CHECK(kept <= kMax / 2);
  CHECK_EQ(mesh.agent.Counter("kept_full"), 0u);
  CHECK(mesh.agent.Counter("windows_shrunk") > 0);
  // Those that are read go on: to the same pod, to another, and new ones of either kind.
  CHECK(Passes(read.first, read.second, 16 * kMebibyte));
  CHECK(Passes(other.first, other.second, 16 * kMebibyte));
  auto late = mesh.Open();
  REQUIRE(late.first.valid());
  CHECK(Passes(late.first, late.second, kMebibyte));
  CHECK(mesh.OpenOther().first.valid());
  // Who reads again after all gets everything.
  CHECK(ReceiveUpTo(stuck[0].second, 100000) == std::string(100000, 'x'));
  stuck.clear();
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("kept_bytes_live") == 0; }));
}

TEST("memory: without a tunnel between them as well") {
  constexpr uint32_t kMax = 16 * kMebibyte;
  ThreePods mesh(kMax);
  mesh.agent.SetRules(
      [&](const msg::OutboundQuestion& q) {
        return mesh.Direct(q.question, msg::HopKind::kHandoff);
      },
      [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  auto stuck = mesh.OpenStuck(200);
  REQUIRE(stuck.size() == 200);
  CHECK(mesh.agent.Counter("kept_bytes_live") > 0);
  CHECK(mesh.agent.Counter("kept_bytes_live") <= kMax / 2);
  CHECK_EQ(mesh.agent.Counter("kept_full"), 0u);
  stuck.clear();
  CHECK(TestAgent::Eventually([&] { return mesh.agent.Counter("kept_bytes_live") == 0; }));
}

TEST("memory: fails closed where a peer sends more than the pod's part holds, and says so") {
  // Less than the least of windows for so many.
  ThreePods mesh(kMebibyte / 2);
  auto other = mesh.OpenOther();
  auto stuck = mesh.OpenStuck(60);
  const auto closed = mesh.agent.Await<msg::ConnectionClosed>([](const msg::ConnectionClosed& e) {
    return e.code == static_cast<uint16_t>(ErrorCode::kLimitMemory);
  });
  CHECK_EQ(CodeName(closed), "LIMIT_MEMORY");
  CHECK(closed && closed->direction == msg::Direction::kInbound && closed->pod == 2);
  CHECK(mesh.agent.Counter("kept_full") > 0);
  CHECK(mesh.agent.Counter("kept_bytes_live") <= kMebibyte / 4);
  CHECK(Passes(other.first, other.second, 4 * kMebibyte));
}

RUN_TESTS()
