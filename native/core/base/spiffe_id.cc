// SPDX-License-Identifier: Apache-2.0
#include "base/spiffe_id.h"

#include <algorithm>
#include <array>

namespace groundwire {
namespace {

constexpr std::string_view kScheme = "spiffe://";
// The SPIFFE ID specification bounds the whole URI to 2048 bytes.
constexpr size_t kLengthMax = 2048;

bool IsSegmentCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

}  // namespace

std::string SpiffeId::ToString() const {
  return std::string(kScheme) + trust_domain + "/ns/" + name_space + "/sa/" + service_account;
}

std::optional<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  if (uri.size() > kLengthMax || !uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  std::array<std::string_view, 5> segments;
  for (size_t i = 0; i < segments.size(); ++i) {
    const size_t slash = uri.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == segments.size())) return std::nullopt;
    segments[i] = uri.substr(0, slash);
    if (segments[i].empty() ||
        !std::all_of(segments[i].begin(), segments[i].end(), IsSegmentCharacter)) {
      return std::nullopt;
    }
    if (slash != std::string_view::npos) uri.remove_prefix(slash + 1);
  }
  if (segments[1] != "ns" || segments[3] != "sa") return std::nullopt;
  return SpiffeId{std::string(segments[0]), std::string(segments[2]), std::string(segments[4])};
}

}  // namespace groundwire
