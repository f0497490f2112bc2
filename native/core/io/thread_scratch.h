// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace groundwire {

/// A worker's working memory, shared by all of its connections, so that an idle connection owns no
/// buffer. Each part is in use only within one call: nothing here survives the return to the loop.
struct ThreadScratch {
  // Half of a common 512 KiB L2 for all three together.
  static constexpr size_t kBytes = 64 * 1024;
  /// TLS adds 22 bytes to a record of up to 16 KiB; a whole `frames` fits with room for a few small
  /// records.
  static constexpr size_t kCipherBytes = kBytes + 4096;

  /// Plaintext arriving: from a tunnel (decrypted) or from an application in a direct relay.
  std::unique_ptr<uint8_t[]> arriving{new uint8_t[kBytes]};
  /// HTTP/2 frames leaving, application bytes received straight behind their frame header.
  std::unique_ptr<uint8_t[]> frames{new uint8_t[kBytes]};
  /// TLS records leaving, several a send call.
  std::unique_ptr<uint8_t[]> records{new uint8_t[kCipherBytes]};
};

}  // namespace groundwire
