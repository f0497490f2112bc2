// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hbone/hbone_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto authority =
      groundwire::HboneAuthority::Parse({reinterpret_cast<const char*>(data), size});
  if (authority &&
      (authority->port == 0 || authority->hostname.empty() != authority->address.has_value()))
    std::abort();
  return 0;
}
