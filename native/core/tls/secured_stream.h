// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "io/byte_stream.h"
#include "io/event_loop.h"
#include "io/lingering_sockets.h"
#include "io/thread_scratch.h"
#include "tls/tls_identity.h"

namespace groundwire {

/// A stream whose two ends prove who they are before its first byte. Which cipher does it, and
/// where it runs, is nobody else's business; what it says holds once Open returned kOk.
class SecuredStream : public ByteStream {
 public:
  virtual const std::string& own_identity() const = 0;
  virtual const std::string& peer_identity() const = 0;
  /// Ends of the certificates, wall clock; the peer's is the earliest of its chain.
  virtual uint64_t own_not_after_ms() const = 0;
  virtual uint64_t peer_not_after_ms() const = 0;
  /// Of the own certificate (TlsIdentity::generation).
  virtual uint64_t generation() const = 0;
  /// What ALPN agreed on; "" where nothing was asked for.
  virtual const std::string& protocol() const = 0;
  /// Before Start: where its socket stays after an orderly end, and for which pod. Otherwise it is
  /// closed at once.
  virtual void LingerAt(LingeringSockets* lingering, uint32_t pod) = 0;
};

inline constexpr std::string_view kAlpnHttp2 = "h2";

struct SecuredStreamOptions {
  /// In order of preference; the peer must choose one of them. Empty: ALPN is not spoken.
  std::span<const std::string_view> protocols;
  uint32_t connect_timeout_ms = 10000;
  uint32_t handshake_timeout_ms = 10000;
};

/// `fd` may still be connecting. `expected` must outlive the stream: the peer has to be one of them.
std::unique_ptr<SecuredStream> DialSecuredStream(UniqueFd fd,
                                                 std::shared_ptr<const TlsIdentity> identity,
                                                 std::span<const std::string> expected,
                                                 const SecuredStreamOptions& options,
                                                 EventLoop* loop, ThreadScratch* scratch);
/// `trust_domain` must outlive the stream: the peer has to be of it.
std::unique_ptr<SecuredStream> AcceptSecuredStream(UniqueFd fd,
                                                   std::shared_ptr<const TlsIdentity> identity,
                                                   std::string_view trust_domain,
                                                   const SecuredStreamOptions& options,
                                                   EventLoop* loop, ThreadScratch* scratch);

}  // namespace groundwire
