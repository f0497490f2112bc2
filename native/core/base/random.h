// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

namespace groundwire {

/// Unpredictable enough for trace ids and load balancing, not for keys. Seeded by the kernel once a
/// thread.
uint64_t RandomU64();
/// W3C trace context: version 00, random ids, not sampled.
std::string MakeTraceparent();

}  // namespace groundwire
