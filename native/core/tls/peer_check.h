// SPDX-License-Identifier: Apache-2.0
// Who the peer of a TLS handshake is, by its certificate, and whether it may be.
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error_code.gen.h"
#include "base/status.h"

namespace groundwire {

/// Whom a handshake accepts, and what came of it. Lives as long as the SSL object that points at
/// it.
struct PeerCheck {
  /// Server: the peer must be of this trust domain.
  std::string_view trust_domain;
  /// Client: the peer must be one of these; empty on a server.
  std::span<const std::string> expected;
  /// ALPN, as the wire has it: each name behind its length. Empty: none is asked for.
  std::string protocols;

  /// The verified peer, "" before.
  std::string peer;
  uint64_t peer_not_after_ms = 0;
  /// Why the peer was refused; kNone: it was not, or the handshake failed for another reason.
  ErrorCode refusal = ErrorCode::kNone;
  /// What certificate verification said, for people.
  std::string detail;
};

/// Points the SSL object's verification at `check`, and has it speak the check's protocols. false: no
/// memory.
bool AttachPeerCheck(SSL* ssl, PeerCheck* check);
/// The callback of SSL_CTX_set_alpn_select_cb: the first of the check's protocols that is offered.
int SelectProtocol(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* offered, unsigned int offered_length, void*);
/// The callback of SSL_CTX_set_verify. Runs for each certificate of the peer's chain. Refusing here,
/// not after the handshake, sends the peer an alert.
int VerifyPeer(int chain_ok, X509_STORE_CTX* context);

/// The identity that a certificate proves, as SPIFFE has it: its one URI SAN, a SPIFFE id of the
/// mesh's form, on a certificate that signs no others. The error's detail says of whose certificate
/// it is and what is wrong with it.
Result<std::string> ReadIdentity(X509* certificate);
uint64_t NotAfterMs(const X509* certificate);

}  // namespace groundwire
