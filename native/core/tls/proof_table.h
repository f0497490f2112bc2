// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "base/address.h"

namespace groundwire {

/// Until when a peer's identity is proven: the newest handshake's word for every tunnel between the
/// same two. A live tunnel outlasts its own certificates by this, never by anything else (docs/adr:
/// proof-of-identity lease). Any thread.
class ProofTable {
 public:
  struct Proof {
    /// Wall clock; the earlier end of the two certificates.
    uint64_t until_ms = 0;
    /// Own certificate it was made with.
    uint64_t generation = 0;
    /// Past this the proof has used up half of its time: time for a newer one.
    uint64_t fresh_until_ms = 0;
  };
  struct Key {
    uint32_t pod = 0;
    std::string peer;
    /// The dialled address with its port, or, accepting, the peer's address with port 0.
    SocketAddress remote;
    auto operator<=>(const Key&) const = default;
  };

  void Record(const Key& key, const Proof& proof);
  Proof Find(const Key& key) const;

 private:
  mutable std::mutex mutex_;
  std::map<Key, Proof> proofs_;
  size_t prune_at_ = 1024;
};

}  // namespace groundwire
