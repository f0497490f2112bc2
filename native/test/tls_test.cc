// SPDX-License-Identifier: Apache-2.0
// Who may talk to whom: both ends of a handshake over a socket pair.
#include <openssl/pem.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
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

struct Pair {
  Pair(std::shared_ptr<const TlsIdentity> client_identity,
       std::shared_ptr<const TlsIdentity> server_identity, std::vector<std::string> expect)
      : expected(std::move(expect)) {
    int ends[2] = {};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
    client_end.Reset(ends[0]);
    server_end.Reset(ends[1]);
    PeerCheck client_check;
    client_check.expected = expected;
    PeerCheck server_check;
    server_check.trust_domain = "cluster.local";
    client = std::make_unique<TlsStream>(ends[0], TlsStream::Role::kClient,
                                         std::move(client_identity), client_check, &scratch);
    server = std::make_unique<TlsStream>(ends[1], TlsStream::Role::kServer,
                                         std::move(server_identity), server_check, &scratch);
    for (int i = 0; i < 6; ++i) {
      client->NotifyReadable(false);
      server->NotifyReadable(false);
      if (client_state == StreamState::kBlocked) client_state = client->Handshake();
      if (server_state == StreamState::kBlocked) server_state = server->Handshake();
    }
  }
  std::vector<std::string> expected;
  ThreadScratch scratch;
  UniqueFd client_end;
  UniqueFd server_end;
  std::unique_ptr<TlsStream> client;
  std::unique_ptr<TlsStream> server;
  StreamState client_state = StreamState::kBlocked;
  StreamState server_state = StreamState::kBlocked;
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
    server_said = Refusal(*as_client.server, as_client.server_state);
    const Pair as_server(Make(authority.Sign(kDb)), MakeOdd(authority, request), {kWeb});
    client_said = Refusal(*as_server.client, as_server.client_state);
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
  REQUIRE(pair.client_state == StreamState::kOk && pair.server_state == StreamState::kOk);
  CHECK_EQ(pair.client->peer(), kDb);
  CHECK_EQ(pair.server->peer(), kWeb);
  CHECK(pair.server->peer_not_after_ms() > 0);
  const std::string bytes(100000, 'x');
  CHECK(pair.client->Write(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) ==
        StreamState::kOk);
  std::string got;
  std::vector<uint8_t> buffer(16384);
  for (int i = 0; i < 1000 && got.size() < bytes.size(); ++i) {
    (void)pair.client->Flush();
    pair.server->NotifyReadable(false);
    const ReadResult read = pair.server->Read(buffer.data(), buffer.size());
    if (read.state == StreamState::kOk)
      got.append(reinterpret_cast<const char*>(buffer.data()), read.size);
  }
  CHECK(got == bytes);
  pair.client->Shutdown();
  pair.server->NotifyReadable(false);
  CHECK(pair.server->Read(buffer.data(), buffer.size()).state == StreamState::kEnd);
}

TEST("tls: a client refuses another identity than the expected") {
  const TestAuthority authority("root");
  const Pair pair(Make(authority.Sign(kWeb)), Make(authority.Sign(kDb)), {kWeb});
  CHECK(pair.client_state == StreamState::kError);
  CHECK_EQ(NameOf(pair.client->error()), "TLS_UNEXPECTED_IDENTITY");
  CHECK_EQ(pair.client->error_detail(), "certificate of " + kDb + ", expected " + kWeb);
}

TEST("tls: a client accepts any of several expected identities") {
  const TestAuthority authority("root");
  const Pair pair(Make(authority.Sign(kWeb)), Make(authority.Sign(kDb)),
                  {"spiffe://x/ns/a/sa/b", kDb});
  CHECK(pair.client_state == StreamState::kOk);
  CHECK_EQ(pair.client->peer(), kDb);
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
  CHECK(pair.server_state == StreamState::kError);
  CHECK_EQ(NameOf(pair.server->error()), "TLS_TRUST_DOMAIN");
  CHECK_EQ(pair.server->error_detail(),
           "certificate of trust domain elsewhere, ours is cluster.local");
}

TEST("tls: an expired certificate is refused on either side") {
  const TestAuthority authority("root");
  const Pair stale_client(Make(authority.Sign(kWeb, {{kWeb}, {}, -7200, -3600})),
                          Make(authority.Sign(kDb)), {kDb});
  CHECK(stale_client.server_state == StreamState::kError);
  CHECK(
      stale_client.server->error_detail().starts_with("certificate of " + kWeb + " expired at 20"));
  const Pair stale_server(Make(authority.Sign(kWeb)),
                          Make(authority.Sign(kDb, {{kDb}, {}, -7200, -3600})), {kDb});
  CHECK(stale_server.client_state == StreamState::kError);
  CHECK(
      stale_server.client->error_detail().starts_with("certificate of " + kDb + " expired at 20"));
}

TEST("tls: a certificate of another root is refused") {
  const TestAuthority authority("root");
  const TestAuthority stranger("stranger");
  const Pair pair(Make(stranger.Sign(kWeb)), Make(authority.Sign(kDb)), {kDb});
  CHECK(pair.client_state == StreamState::kError);
  CHECK_EQ(pair.client->error_detail(), "issuer of the certificate of " + kDb +
                                            ": self-signed certificate in certificate chain");
}

TEST("tls: a certificate of tomorrow is refused with the time from which it holds") {
  const TestAuthority authority("root");
  const Pair pair(Make(authority.Sign(kWeb, {{kWeb}, {}, 3600, 7200})), Make(authority.Sign(kDb)),
                  {kDb});
  CHECK(pair.server_state == StreamState::kError);
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

TEST("tls: after enough records both directions get new keys") {
  const TestAuthority authority("root");
  int ends[2] = {};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  const UniqueFd client_end(ends[0]);
  const UniqueFd server_end(ends[1]);
  const auto identity = Make(authority.Sign(kWeb));
  PeerCheck client_check;
  client_check.trust_domain = "cluster.local";
  const std::unique_ptr<SSL, decltype(&SSL_free)> client(SSL_new(identity->client.get()), SSL_free);
  AttachPeerCheck(client.get(), &client_check);
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
  ThreadScratch scratch;
  PeerCheck server_check;
  server_check.trust_domain = "cluster.local";
  TlsStream server(server_end.get(), TlsStream::Role::kServer, Make(authority.Sign(kDb)),
                   server_check, &scratch);
  server.set_records_per_key(4);
  StreamState state = StreamState::kBlocked;
  for (int i = 0; i < 6; ++i) {
    (void)SSL_do_handshake(client.get());
    server.NotifyReadable(false);
    if (state == StreamState::kBlocked) state = server.Handshake();
  }
  REQUIRE(state == StreamState::kOk);
  for (int i = 0; i < 13; ++i) {
    CHECK(server.Write(reinterpret_cast<const uint8_t*>("down"), 4) == StreamState::kOk);
    CHECK(server.Flush() == StreamState::kOk);
    char down[8] = {};
    REQUIRE(SSL_read(client.get(), down, sizeof down) == 4);
    CHECK_EQ(std::string(down), "down");
    REQUIRE(SSL_write(client.get(), "up", 2) == 2);
    server.NotifyReadable(false);
    uint8_t up[8] = {};
    CHECK_EQ(server.Read(up, sizeof up).size, 2u);
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
  const UniqueFd server_end(ends[1]);
  ThreadScratch scratch;
  PeerCheck check;
  check.trust_domain = "cluster.local";
  TlsStream server(server_end.get(), TlsStream::Role::kServer, Make(authority.Sign(kDb)), check,
                   &scratch);
  client_end.Reset();
  server.NotifyReadable(true);
  errno = ENOENT;
  CHECK(server.Handshake() == StreamState::kError);
  CHECK_EQ(server.error_detail(), "peer closed the connection");
}

TEST("tls: a client without a certificate is refused") {
  const TestAuthority authority("root");
  int ends[2] = {};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  const UniqueFd client_end(ends[0]);
  const UniqueFd server_end(ends[1]);
  const SslContext context(SSL_CTX_new(TLS_client_method()));
  SSL* anonymous = SSL_new(context.get());
  SSL_set_fd(anonymous, client_end.get());
  SSL_set_connect_state(anonymous);
  const unsigned char alpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(anonymous, alpn, sizeof alpn);
  ThreadScratch scratch;
  PeerCheck check;
  check.trust_domain = "cluster.local";
  TlsStream server(server_end.get(), TlsStream::Role::kServer, Make(authority.Sign(kDb)), check,
                   &scratch);
  StreamState state = StreamState::kBlocked;
  for (int i = 0; i < 6 && state == StreamState::kBlocked; ++i) {
    SSL_do_handshake(anonymous);
    server.NotifyReadable(false);
    state = server.Handshake();
  }
  CHECK(state == StreamState::kError);
  CHECK_EQ(NameOf(server.error()), "TLS_HANDSHAKE_FAILED");
  CHECK_EQ(server.error_detail(), "peer sent no certificate");
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
