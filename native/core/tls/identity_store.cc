// SPDX-License-Identifier: Apache-2.0
#include "tls/identity_store.h"

#include <utility>

#include "base/clock.h"

namespace groundwire {

Status IdentityStore::Set(const msg::SetIdentity& command) {
  uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    generation = ++generation_;
  }
  // Outside of the lock: parsing keys and building contexts takes a millisecond that no handshake
  // should wait for.
  auto identity = MakeTlsIdentity(command, generation);
  if (!identity.ok()) return identity.status();
  const std::lock_guard lock(mutex_);
  identities_[command.identity] = std::move(identity.value());
  return Status::Ok();
}

void IdentityStore::Remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  identities_.erase(name);
}

std::shared_ptr<const TlsIdentity> IdentityStore::Find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = identities_.find(name);
  if (found == identities_.end() || found->second->not_after_ms <= WallMs()) return nullptr;
  return found->second;
}

}  // namespace groundwire
