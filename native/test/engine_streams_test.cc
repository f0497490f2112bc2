// SPDX-License-Identifier: Apache-2.0
// The whole engine against a peer of the test's own, and what that peer says of streams.
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "hbone/tunnel_pool.h"
#include "support/cuttable_proxy.h"
#include "support/hbone_peer.h"
#include "support/http2_bytes.h"
#include "support/mesh.h"
#include "support/options.h"
#include "tls/peer_check.h"
#include "tls/tls_identity.h"

using namespace groundwire;

namespace {

/// Takes one tunnel, once it may, and says before the handshake is over that it serves one stream
/// at a time. It answers nothing.
class OneStreamPeer {
 public:
  explicit OneStreamPeer(std::shared_ptr<const TlsIdentity> identity)
      : identity_(std::move(identity)), listener_(ListenOn("10.202.0.97")) {}
  SocketAddress address() const { return At("10.202.0.97", PortOf(listener_.get())); }
  bool TakeTunnel() {
    socket_ = AcceptOne(listener_);
    ssl_.reset(SSL_new(identity_->server.get()));
    check_.trust_domain = kTrustDomain;
    check_.protocols = "\2h2";
    if (!AttachPeerCheck(ssl_.get(), &check_)) return false;
    SSL_set_fd(ssl_.get(), socket_.get());
    // In one piece, so that the limit is there when the other side's handshake is over.
    BIO* const unsent = BIO_new(BIO_s_mem());
    SSL_set0_wbio(ssl_.get(), unsent);
    uint8_t none[1];
    size_t count = 0;
    if (SSL_read_early_data(ssl_.get(), none, sizeof none, &count) != SSL_READ_EARLY_DATA_FINISH)
      return false;
    // SETTINGS_MAX_CONCURRENT_STREAMS is 3 (RFC 9113 6.5.2).
    const std::string settings =
        http2::Frame(http2::kSettings, 0, 0, std::string("\0\3", 2) + http2::U32(1));
    if (SSL_write_early_data(ssl_.get(), settings.data(), settings.size(), &count) != 1)
      return false;
    const char* bytes = nullptr;
    const auto size = static_cast<size_t>(BIO_get_mem_data(unsent, &bytes));
    if (!SendAll(socket_, std::string(bytes, size))) return false;
    SSL_set0_wbio(ssl_.get(), BIO_new_socket(socket_.get(), BIO_NOCLOSE));
    return SSL_accept(ssl_.get()) == 1;
  }

 private:
  const std::shared_ptr<const TlsIdentity> identity_;
  const UniqueFd listener_;
  UniqueFd socket_;
  PeerCheck check_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
};

}  // namespace

TEST("streams: a peer that takes none gets a few tunnels, and its connections fail in time") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->connect_timeout_ms = 3000;
  });
  const auto identity = MakeTlsIdentity(mesh.agent.authority().Sign(IdentityOf("pod2")), 1);
  REQUIRE(identity.ok());
  Http2Options none = MakeTunnelOptions(TestOptions());
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

TEST("streams: a CONNECT that a peer's limit holds back waits for one connect timeout") {
  TestMesh mesh([](msg::EngineOptions* options) {
    options->worker_threads = 1;
    options->connect_timeout_ms = 3000;
  });
  const auto identity = MakeTlsIdentity(mesh.agent.authority().Sign(IdentityOf("pod2")), 1);
  REQUIRE(identity.ok());
  OneStreamPeer peer(identity.value());
  mesh.hbone = peer.address();
  const UniqueFd clients[] = {mesh.Dial(), mesh.Dial()};
  // Both wait for the one tunnel, which counts as one of many streams as yet.
  REQUIRE(TestAgent::Eventually([&] {
    size_t waiting = 0;
    for (const auto& one : mesh.agent.Snapshot<msg::Connection>(msg::kPartConnections))
      waiting += one.hop == msg::HopKind::kHbone ? 1 : 0;
    return waiting == 2;
  }));
  REQUIRE(peer.TakeTunnel());
  CHECK_EQ(mesh.agent.Counter("tunnels_dialled"), 1u);
  const auto held_back = mesh.Closed(msg::Direction::kOutbound);
  const auto left = mesh.Closed(msg::Direction::kOutbound);
  REQUIRE(held_back.has_value() && left.has_value());
  CHECK_EQ(CodeName(held_back), "HBONE_RESPONSE_TIMEOUT");
  CHECK_EQ(held_back->detail, std::string(kNoStreamsDetail));
  CHECK_EQ(CodeName(left), "HBONE_RESPONSE_TIMEOUT");
  CHECK_EQ(left->detail, "");
  CHECK(held_back->duration_us >= 3000000);
  CHECK(left->duration_us >= 6000000);
  // One connect timeout lies between them, less what the machine is late.
  CHECK(left->duration_us >= held_back->duration_us + 1000000);
  CHECK_EQ(mesh.agent.Counter("tunnel_streams_held_back"), 1u);
}

TEST("streams: a peer whose side takes no bytes is not said to take no streams") {
  TestMesh mesh([](msg::EngineOptions* options) {
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
