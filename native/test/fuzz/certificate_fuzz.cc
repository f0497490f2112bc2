// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "tls/peer_check.h"

/// A peer's certificate, as DER.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  X509* certificate = d2i_X509(nullptr, &data, static_cast<long>(size));
  if (certificate == nullptr) return 0;
  (void)groundwire::ReadIdentity(certificate);
  X509_free(certificate);
  return 0;
}
