// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "tls/tls_identity.h"

namespace groundwire {

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
