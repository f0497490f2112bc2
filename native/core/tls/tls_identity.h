// SPDX-License-Identifier: Apache-2.0
// An identity as TLS knows it: certificate, key and trust roots in two contexts, one to accept and
// one to dial with.
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "port/messages.gen.h"

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

/// Builds both contexts: TLS 1.3 only, AES-GCM, peer certificate mandatory, neither SNI
/// nor resumption.
Result<std::shared_ptr<const TlsIdentity>> MakeTlsIdentity(const msg::SetIdentity& command,
                                                           uint64_t generation);

}  // namespace groundwire
