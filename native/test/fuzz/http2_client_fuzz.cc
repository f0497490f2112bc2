// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "support/fuzz_session.h"

/// Clear bytes of a server to a client that has one stream open.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  groundwire::FuzzSession(groundwire::Http2Session::Role::kClient, "").Feed({data, size});
  return 0;
}
