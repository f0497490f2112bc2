// SPDX-License-Identifier: Apache-2.0
// An identity as TLS knows it: certificate, key and trust roots in two contexts, one to accept and
// one to dial with.
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "error_code.gen.h"
#include "messages.gen.h"
#include "spiffe_id.h"
#include "status.h"

namespace groundwire {

struct SslContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextFree>;

/// Immutable; shared by every tunnel that began with it, so a renewal never disturbs a live one.
struct TlsIdentity {
  std::string name;
  /// Grows with each SetIdentity; a tunnel of an older generation takes no new streams.
  uint64_t generation = 0;
  uint64_t not_after_ms = 0;
  SslContext server;
  SslContext client;
};

/// Builds both contexts: TLS 1.3 only, AES-GCM, ALPN h2, peer certificate mandatory, neither SNI
/// nor resumption.
Result<std::shared_ptr<const TlsIdentity>> MakeTlsIdentity(const msg::SetIdentity& command,
                                                           uint64_t generation);

/// Whom a handshake accepts, and what came of it. Lives as long as the SSL object that points at
/// it.
struct PeerCheck {
  /// Server: the peer must be of this trust domain.
  std::string_view trust_domain;
  /// Client: the peer must be one of these; empty on a server.
  std::span<const std::string> expected;

  /// The verified peer, "" before.
  std::string peer;
  uint64_t peer_not_after_ms = 0;
  /// Why the peer was refused; kNone: it was not, or the handshake failed for another reason.
  ErrorCode refusal = ErrorCode::kNone;
  /// What certificate verification said, for people.
  std::string detail;
};
/// Points the SSL object's verification at `check`.
void AttachPeerCheck(SSL* ssl, PeerCheck* check);

/// First URI SAN that is a SPIFFE id of the mesh's form, or, with `expected`, the first that is
/// listed there.
std::optional<std::string> FindPeerIdentity(X509* certificate,
                                            std::span<const std::string> expected);

/// The identities of this node; any thread.
class IdentityStore {
 public:
  Status Set(const msg::SetIdentity& command);
  void Remove(const std::string& name);
  /// nullptr when unknown or expired: then nothing is accepted or dialled in its name.
  std::shared_ptr<const TlsIdentity> Find(const std::string& name) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const TlsIdentity>> identities_;
  uint64_t generation_ = 0;
};

}  // namespace groundwire
