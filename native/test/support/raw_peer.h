// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "support/http2_bytes.h"
#include "support/mesh.h"
#include "tls/peer_check.h"
#include "tls/tls_identity.h"

namespace groundwire {

/// A peer that proves to be pod 1 and then says what it likes to pod 2.
struct RawPeer {
  explicit RawPeer(TestMesh* mesh)
      : RawPeer(mesh, mesh->agent.authority().Sign(IdentityOf("pod1"))) {}
  RawPeer(TestMesh* mesh, const msg::SetIdentity& certificate) : socket(ConnectTo(mesh->hbone)) {
    check.expected = expected;
    check.protocols = "\2h2";
    const auto identity = MakeTlsIdentity(certificate, 1);
    if (!identity.ok()) return;
    ssl.reset(SSL_new(identity.value()->client.get()));
    if (!AttachPeerCheck(ssl.get(), &check)) return;
    SSL_set_fd(ssl.get(), socket.get());
    connected = SSL_connect(ssl.get()) == 1;
  }
  void Say(const std::string& bytes) {
    CHECK_EQ(SSL_write(ssl.get(), bytes.data(), static_cast<int>(bytes.size())),
             static_cast<int>(bytes.size()));
  }
  /// Until the other side ends.
  void Hear() {
    char rest[4096];
    while (SSL_read(ssl.get(), rest, sizeof rest) > 0) {
    }
  }

  /// Whether a frame of the type comes before the other side ends.
  bool HearFrame(uint8_t type) {
    char more[4096];
    std::string heard;
    for (int size = 0; (size = SSL_read(ssl.get(), more, sizeof more)) > 0;) {
      heard.append(more, static_cast<size_t>(size));
      for (const http2::Seen& seen : http2::Split(heard)) {
        if (seen.type == type) return true;
      }
    }
    return false;
  }

  const std::vector<std::string> expected = {IdentityOf("pod2")};
  PeerCheck check;
  UniqueFd socket;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{nullptr, SSL_free};
  bool connected = false;
};

}  // namespace groundwire
