// SPDX-License-Identifier: Apache-2.0
#include "base/counters.h"

namespace groundwire {

std::string_view NameOf(Counter counter) {
  static constexpr std::array<std::string_view, kCounterCount> kNames = {
#define X(symbol, name) name,
      GROUNDWIRE_COUNTERS(X)
#undef X
  };
  return kNames[static_cast<size_t>(counter)];
}

}  // namespace groundwire
