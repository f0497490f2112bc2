// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace groundwire {

/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`: the only form the mesh uses.
struct SpiffeId {
  std::string trust_domain;
  std::string name_space;
  std::string service_account;

  std::string ToString() const;
  /// Exactly five segments, none empty, no query, no fragment; nullopt for everything else.
  static std::optional<SpiffeId> Parse(std::string_view uri);
  bool operator==(const SpiffeId&) const = default;
};

}  // namespace groundwire
