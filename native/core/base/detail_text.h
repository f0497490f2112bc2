// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace groundwire {

inline constexpr size_t kDetailBytesMax = 200;

/// What is told of a failure beside its code: printable ASCII, at most kDetailBytesMax bytes. Parts
/// of it may be the peer's, so any other byte, and a backslash, is written as \xNN. What is cut
/// ends in "...".
std::string DetailText(std::string_view text);

}  // namespace groundwire
