// SPDX-License-Identifier: Apache-2.0
// Who may talk to whom: both ends of a handshake over a socket pair.
#include <malloc.h>
#include <openssl/pem.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "check.h"
#include "support/certificates.h"
#include "tls/identity_store.h"
#include "tls/tls_stream.h"

using namespace groundwire;

namespace {

const std::string kWeb = "spiffe://cluster.local/ns/shop/sa/web";
const std::string kDb = "spiffe://cluster.local/ns/shop/sa/db";

std::shared_ptr<const TlsIdentity> Make(const msg::SetIdentity& command) {
  auto made = MakeTlsIdentity(command, 1);
  if (!made.ok()) std::cout << made.status().ToString() << std::endl;
  return made.ok() ? made.value() : nullptr;
}

constexpr std::array<std::string_view, 1> kHttp2Only = {kAlpnHttp2};

struct Pair {
  /// One end, which opens as far as it can each time that it is told.
  struct End final : ByteStreamUser {
    void OnStreamReady(bool, bool) override {
      if (state == StreamState::kBlocked) state = stream->Open();
    }
    TlsStream* operator->() const { return stream.get(); }
    std::unique_ptr<TlsStream> stream;
    StreamState state = StreamState::kBlocked;
  };

  Pair(std::shared_ptr<const TlsIdentity> client_identity,
       std::shared_ptr<const TlsIdentity> server_identity, std::vector<std::string> expect,
       std::span<const std::string_view> offered = kHttp2Only,
       std::span<const std::string_view> served = kHttp2Only)
      : expected(std::move(expect)) {
    int ends[2] = {};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 || !loop.Open().ok())
      std::abort();
    client_fd = ends[0];
    server_fd = ends[1];
    PeerCheck client_check;
    client_check.expected = expected;
    PeerCheck server_check;
    server_check.trust_domain = "cluster.local";
    client.stream = std::make_unique<TlsStream>(
        UniqueFd(ends[0]), TlsStream::Role::kClient, std::move(client_identity), client_check,
        SecuredStreamOptions{.protocols = offered}, &loop, &scratch);
    server.stream = std::make_unique<TlsStream>(
        UniqueFd(ends[1]), TlsStream::Role::kServer, std::move(server_identity), server_check,
        SecuredStreamOptions{.protocols = served}, &loop, &scratch);
    if (!client->Start(&client).ok() || !server->Start(&server).ok()) std::abort();
    Turn();
  }
  void Turn() {
    for (int i = 0; i < 6; ++i) loop.RunTurn(0);
  }
  std::vector<std::string> expected;
  Counters counters;
  EventLoop loop{&counters};
  ThreadScratch scratch;
  int client_fd = -1;
  int server_fd = -1;
  End client;
  End server;
};

/// One that accepts, for a test that plays the client itself.
struct Server {
  Server(const TestAuthority& authority, int fd, std::span<const std::string_view> protocols) {
    PeerCheck check;
    check.trust_domain = "cluster.local";
    end.stream = std::make_unique<TlsStream>(
        UniqueFd(fd), TlsStream::Role::kServer, Make(authority.Sign(kDb)), check,
        SecuredStreamOptions{.protocols = protocols}, &loop, &scratch);
    if (!loop.Open().ok() || !end->Start(&end).ok()) std::abort();
  }
  Counters counters;
  EventLoop loop{&counters};
  ThreadScratch scratch;
  Pair::End end;
};

/// kWeb's identity, with another certificate in it than the engine would take.
std::shared_ptr<const TlsIdentity> MakeOdd(const TestAuthority& authority,
                                           const TestAuthority::Request& request) {
  const auto identity = Make(authority.Sign(kWeb));
  const msg::SetIdentity odd = authority.Sign(kWeb, request);
  const auto read = [](const std::vector<uint8_t>& pem) {
    return std::unique_ptr<BIO, decltype(&BIO_free)>(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  };
  X509* leaf = PEM_read_bio_X509(read(odd.certificate_chain_pem).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* key =
      PEM_read_bio_PrivateKey(read(odd.private_key_pem).get(), nullptr, nullptr, nullptr);
  for (SSL_CTX* context : {identity->client.get(), identity->server.get()}) {
    if (SSL_CTX_use_cert_and_key(context, leaf, key, nullptr, 1) != 1) std::abort();
  }
  X509_free(leaf);
  EVP_PKEY_free(key);
  return identity;
}

/// What a server, and a client that wants kWeb, say of a peer with such a certificate.
struct OddPeer {
  OddPeer(const TestAuthority& authority, const TestAuthority::Request& request) {
    const Pair as_client(MakeOdd(authority, request), Make(authority.Sign(kDb)), {kDb});
    server_said = Refusal(*as_client.server.stream, as_client.server.state);
    const Pair as_server(Make(authority.Sign(kDb)), MakeOdd(authority, request), {kWeb});
    client_said = Refusal(*as_server.client.stream, as_server.client.state);
  }
  static std::string Refusal(const TlsStream& stream, StreamState state) {
    if (state == StreamState::kOk) return "";
    return std::string(NameOf(stream.error())) + ": " + stream.error_detail();
  }
  std::string server_said;
  std::string client_said;
};

}  // namespace

TEST("tls: two of one mesh know each other, and carry bytes") {
  const TestAuthority authority("root");
  Pair pair(Make(authority.Sign(kWeb)), Make(authority.Sign(kDb)), {kDb});
  REQUIRE(pair.client.state == StreamState::kOk && pair.server.state == StreamState::kOk);
  CHECK_EQ(pair.client->peer_identity(), kDb);
  CHECK_EQ(pair.server->peer_identity(), kWeb);
  CHECK(pair.server->peer_not_after_ms() > 0);
  const std::string bytes(100000, 'x');
  CHECK(pair.client->Write(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) ==
        StreamState::kOk);
  std::string got;
  std::vector<uint8_t> buffer(16384);
  for (int i = 0; i < 1000 && got.size() < bytes.size(); ++i) {
    (void)pair.client->Flush();
    pair.Turn();
    const ReadResult read = pair.server->Read(buffer.data(), buffer.size());
    if (read.state == StreamState::kOk)
      got.append(reinterpret_cast<const char*>(buffer.data()), read.size);
  }
  CHECK(got == bytes);
  pair.client->Shutdown();
  pair.Turn();
  CHECK(pair.server->Read(buffer.data(), buffer.size()).state == StreamState::kEnd);
}

TEST("tls: a client refuses another identity than the expected") {
  const TestAuthority authority("root");
  const Pair pair(Make(authority.Sign(kWeb)), Make(authority.Sign(kDb)), {kWeb});
  CHECK(pair.client.state == StreamState::kError);
  CHECK_EQ(NameOf(pair.client->error()), "TLS_UNEXPECTED_IDENTITY");
  CHECK_EQ(pair.client->error_detail(), "certificate of " + kDb + ", expected " + kWeb);
}

TEST("tls: a client accepts any of several expected identities") {
  const TestAuthority authority("root");
  const Pair pair(Make(authority.Sign(kWeb)), Make(authority.Sign(kDb)),
                  {"spiffe://x/ns/a/sa/b", kDb});
  CHECK(pair.client.state == StreamState::kOk);
  CHECK_EQ(pair.client->peer_identity(), kDb);
}

TEST("tls: a certificate with two URI names is refused on either side, whichever is wanted") {
  const TestAuthority authority("root");
  const std::string problem = "certificate of " + kWeb + " has 2 URI names, where SPIFFE has one";
  for (const std::string& second : {kDb, std::string("https://db.shop")}) {
    const OddPeer odd(authority, {{kWeb, second}});
    CHECK_EQ(odd.server_said, "TLS_UNEXPECTED_IDENTITY: " + problem);
    CHECK_EQ(odd.client_said, "TLS_UNEXPECTED_IDENTITY: " + problem + ", expected " + kWeb);
  }
}

TEST("tls: a certificate that signs others is no workload's, on either side") {
  const TestAuthority authority("root");
  for (const char* constraints : {"CA:TRUE", "critical,CA:TRUE,pathlen:0", ""}) {
    for (const char* usage :
         {"critical,digitalSignature,keyCertSign", "digitalSignature,cRLSign", ""}) {
      if (std::string(constraints).empty() && std::string(usage).empty()) continue;
      const OddPeer odd(authority, {{kWeb}, {}, -60, 3600, constraints, usage});
      CHECK(odd.server_said.starts_with("TLS_UNEXPECTED_IDENTITY: certificate of " + kWeb +
                                        " is one that signs others"));
      CHECK(odd.client_said.starts_with("TLS_UNEXPECTED_IDENTITY: certificate of " + kWeb +
                                        " is one that signs others"));
    }
  }
}

TEST("tls: a leaf that says it is no authority, with other names beside its one URI, is accepted") {
  const TestAuthority authority("root");
  const OddPeer odd(authority, {{kWeb},
                                {"web.shop"},
                                -60,
                                3600,
                                "critical,CA:FALSE",
                                "critical,digitalSignature,keyEncipherment"});
  CHECK_EQ(odd.server_said, "");
  CHECK_EQ(odd.client_said, "");
}

TEST("tls: a server refuses another trust domain") {
  const TestAuthority authority("root");
  const std::string foreign = "spiffe://elsewhere/ns/shop/sa/web";
  const Pair pair(Make(authority.Sign(foreign)), Make(authority.Sign(kDb)), {kDb});
  CHECK(pair.server.state == StreamState::kError);
  CHECK_EQ(NameOf(pair.server->error()), "TLS_TRUST_DOMAIN");
  CHECK_EQ(pair.server->error_detail(),
           "certificate of trust domain elsewhere, ours is cluster.local");
}

TEST("tls: an expired certificate is refused on either side") {
  const TestAuthority authority("root");
  const Pair stale_client(Make(authority.Sign(kWeb, {{kWeb}, {}, -7200, -3600})),
                          Make(authority.Sign(kDb)), {kDb});
  CHECK(stale_client.server.state == StreamState::kError);
  CHECK(
      stale_client.server->error_detail().starts_with("certificate of " + kWeb + " expired at 20"));
  const Pair stale_server(Make(authority.Sign(kWeb)),
                          Make(authority.Sign(kDb, {{kDb}, {}, -7200, -3600})), {kDb});
  CHECK(stale_server.client.state == StreamState::kError);
  CHECK(
      stale_server.client->error_detail().starts_with("certificate of " + kDb + " expired at 20"));
}

TEST("tls: a certificate of another root is refused") {
  const TestAuthority authority("root");
  const TestAuthority stranger("stranger");
  const Pair pair(Make(stranger.Sign(kWeb)), Make(authority.Sign(kDb)), {kDb});
  CHECK(pair.client.state == StreamState::kError);
  CHECK_EQ(pair.client->error_detail(), "issuer of the certificate of " + kDb +
                                            ": self-signed certificate in certificate chain");
}

TEST("tls: a certificate of tomorrow is refused with the time from which it holds") {
  const TestAuthority authority("root");
  const Pair pair(Make(authority.Sign(kWeb, {{kWeb}, {}, 3600, 7200})), Make(authority.Sign(kDb)),
                  {kDb});
  CHECK(pair.server.state == StreamState::kError);
  CHECK(pair.server->error_detail().starts_with("certificate of " + kWeb + " is valid from 20"));
}

TEST(
    "tls: an identity without the certificate's name, or with half of a key, is refused when it is "
    "set") {
  const TestAuthority authority("root");
  CHECK_EQ(MakeTlsIdentity(authority.Sign(kWeb, {{kDb}}), 1).status().op, "check certificate");
  CHECK_EQ(MakeTlsIdentity(authority.Sign(kWeb, {{}, {"web.shop"}}), 1).status().op,
           "check certificate");
  CHECK_EQ(MakeTlsIdentity(authority.Sign(kWeb, {{kWeb, kDb}}), 1).status().detail,
           "certificate of " + kWeb + " has 2 URI names, where SPIFFE has one");
  CHECK_EQ(MakeTlsIdentity(authority.Sign(kWeb, {{kWeb}, {}, -60, 3600, "CA:TRUE"}), 1).status().op,
           "check certificate");
  msg::SetIdentity mixed = authority.Sign(kWeb);
  mixed.private_key_pem = authority.Sign(kWeb).private_key_pem;
  CHECK(!MakeTlsIdentity(mixed, 1).ok());
  msg::SetIdentity rootless = authority.Sign(kWeb);
  rootless.trust_roots_pem.clear();
  CHECK_EQ(MakeTlsIdentity(rootless, 1).status().op, "parse trust roots");
}

TEST("tls: the first protocol of the server's that is offered is the stream's") {
  const TestAuthority authority("root");
  const std::array<std::string_view, 2> offered = {"http/1.1", "h2"};
  const std::array<std::string_view, 2> served = {"h2", "http/1.1"};
  const std::array<std::string_view, 1> strange = {"other"};
  const auto open = [&](std::span<const std::string_view> client,
                        std::span<const std::string_view> server) {
    const Pair pair(Make(authority.Sign(kWeb)), Make(authority.Sign(kDb)), {kDb}, client, server);
    return pair.client->error() == ErrorCode::kNone
               ? pair.client->protocol() + " " + pair.server->protocol()
               : pair.client->error_detail();
  };
  CHECK_EQ(open(offered, served), "h2 h2");
  CHECK_EQ(open({}, {}), " ");
  CHECK_EQ(open(strange, served), "the peer says: tlsv1 alert no application protocol");
  CHECK_EQ(open(served, {}), "peer did not choose ALPN h2");
}

TEST("tls: after enough records both directions get new keys") {
  const TestAuthority authority("root");
  int ends[2] = {};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  const UniqueFd client_end(ends[0]);
  const auto identity = Make(authority.Sign(kWeb));
  PeerCheck client_check;
  client_check.trust_domain = "cluster.local";
  const std::unique_ptr<SSL, decltype(&SSL_free)> client(SSL_new(identity->client.get()), SSL_free);
  REQUIRE(AttachPeerCheck(client.get(), &client_check));
  SSL_set_fd(client.get(), client_end.get());
  SSL_set_connect_state(client.get());
  struct Updates {
    int received = 0;
    int sent = 0;
  } updates;
  SSL_set_msg_callback(
      client.get(), [](int sent, int, int type, const void* data, size_t size, SSL*, void* user) {
        if (type != SSL3_RT_HANDSHAKE || size == 0 ||
            *static_cast<const uint8_t*>(data) != SSL3_MT_KEY_UPDATE)
          return;
        ++(sent != 0 ? static_cast<Updates*>(user)->sent : static_cast<Updates*>(user)->received);
      });
  SSL_set_msg_callback_arg(client.get(), &updates);
  Server server(authority, ends[1], {});
  server.end->set_records_per_key(4);
  for (int i = 0; i < 6; ++i) {
    (void)SSL_do_handshake(client.get());
    server.loop.RunTurn(0);
  }
  REQUIRE(server.end.state == StreamState::kOk);
  CHECK_EQ(server.end->protocol(), "");
  for (int i = 0; i < 13; ++i) {
    CHECK(server.end->Write(reinterpret_cast<const uint8_t*>("down"), 4) == StreamState::kOk);
    CHECK(server.end->Flush() == StreamState::kOk);
    char down[8] = {};
    REQUIRE(SSL_read(client.get(), down, sizeof down) == 4);
    CHECK_EQ(std::string(down), "down");
    REQUIRE(SSL_write(client.get(), "up", 2) == 2);
    server.loop.RunTurn(0);
    uint8_t up[8] = {};
    CHECK_EQ(server.end->Read(up, sizeof up).size, 2u);
  }
  CHECK_EQ(updates.received, 3);  // before the records 5, 9 and 13
  CHECK_EQ(updates.sent, 3);
}

TEST("tls: a damaged block refuses the whole list") {
  const TestAuthority authority("root");
  const TestAuthority other("other");
  msg::SetIdentity command = authority.Sign(kWeb);
  std::vector<uint8_t> second = other.root_pem();
  const auto append = [](std::vector<uint8_t>* list, const std::vector<uint8_t>& more) {
    list->insert(list->end(), more.begin(), more.end());
  };
  append(&command.trust_roots_pem, second);
  append(&command.certificate_chain_pem, second);
  CHECK(MakeTlsIdentity(command, 1).ok());
  second[second.size() / 2] = '!';
  msg::SetIdentity roots = command;
  append(&roots.trust_roots_pem, second);
  CHECK_EQ(MakeTlsIdentity(roots, 1).status().op, "parse trust roots");
  msg::SetIdentity chain = command;
  append(&chain.certificate_chain_pem, second);
  CHECK_EQ(MakeTlsIdentity(chain, 1).status().op, "parse certificate chain");
}

TEST("tls: a peer that leaves in the handshake is not blamed on an older errno") {
  const TestAuthority authority("root");
  int ends[2] = {};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  UniqueFd client_end(ends[0]);
  Server server(authority, ends[1], kHttp2Only);
  client_end.Reset();
  errno = ENOENT;
  server.loop.RunTurn(0);
  CHECK(server.end.state == StreamState::kError);
  CHECK_EQ(server.end->error_detail(), "peer closed the connection");
}

TEST("tls: what has not proven anything yet is given little memory, and the silent none") {
  const TestAuthority authority("root");
  const auto identity = Make(authority.Sign(kDb));
  // Under a sanitizer's allocator this is 0.
  const auto used = [] {
    const struct mallinfo2 memory = mallinfo2();
    return memory.uordblks + memory.hblkhd;
  };
  constexpr size_t kStreams = 64;
  Counters counters;
  EventLoop loop(&counters);
  ThreadScratch scratch;
  REQUIRE(loop.Open().ok());
  std::vector<UniqueFd> clients;
  std::vector<Pair::End> servers(kStreams);
  const size_t before = used();
  for (Pair::End& server : servers) {
    int ends[2] = {};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    clients.emplace_back(ends[0]);
    PeerCheck check;
    check.trust_domain = "cluster.local";
    server.stream =
        std::make_unique<TlsStream>(UniqueFd(ends[1]), TlsStream::Role::kServer, identity, check,
                                    SecuredStreamOptions(), &loop, &scratch);
    REQUIRE(server->Start(&server).ok());
  }
  loop.RunTurn(0);
  CHECK(used() - before < kStreams * 2048);
  for (const UniqueFd& client : clients) REQUIRE(send(client.get(), "\x16", 1, 0) == 1);
  for (int i = 0; i < 3; ++i) loop.RunTurn(0);
  CHECK(used() - before < kStreams * 80 * 1024);
  CHECK(servers.front().state == StreamState::kBlocked);
}

TEST("tls: a client without a certificate is refused") {
  const TestAuthority authority("root");
  int ends[2] = {};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  const UniqueFd client_end(ends[0]);
  const SslContext context(SSL_CTX_new(TLS_client_method()));
  SSL* anonymous = SSL_new(context.get());
  SSL_set_fd(anonymous, client_end.get());
  SSL_set_connect_state(anonymous);
  const unsigned char alpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(anonymous, alpn, sizeof alpn);
  Server server(authority, ends[1], kHttp2Only);
  for (int i = 0; i < 6 && server.end.state == StreamState::kBlocked; ++i) {
    SSL_do_handshake(anonymous);
    server.loop.RunTurn(0);
  }
  CHECK(server.end.state == StreamState::kError);
  CHECK_EQ(NameOf(server.end->error()), "TLS_HANDSHAKE_FAILED");
  CHECK_EQ(server.end->error_detail(), "peer sent no certificate");
  SSL_free(anonymous);
}

TEST("identity store: an expired certificate is as good as none") {
  const TestAuthority authority("root");
  IdentityStore store;
  CHECK(store.Find(kWeb) == nullptr);
  REQUIRE(store.Set(authority.Sign(kWeb)).ok());
  const auto first = store.Find(kWeb);
  REQUIRE(first != nullptr);
  REQUIRE(store.Set(authority.Sign(kWeb)).ok());
  CHECK(store.Find(kWeb)->generation > first->generation);
  REQUIRE(store.Set(authority.Sign(kWeb, {{kWeb}, {}, -100, -10})).ok());
  CHECK(store.Find(kWeb) == nullptr);
  store.Remove(kWeb);
  CHECK(store.Find(kWeb) == nullptr);
}

RUN_TESTS()
