// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "support/fuzz_session.h"

/// Clear bytes of a client: after its preface, which no fuzzer should have to guess.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  groundwire::FuzzSession(groundwire::Http2Session::Role::kServer,
                          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
      .Feed({data, size});
  return 0;
}
