// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "base/status.h"

namespace groundwire {

/// The keys of a hash map, in batches: a key at a time, a full map of approvals would be 131,072
/// calls. One that comes or goes meanwhile may be among them or not.
template <typename Key, typename Value>
Result<std::vector<Key>> ReadKeys(int map) {
  constexpr uint32_t kBatch = 4096;
  std::vector<Key> keys;
  std::vector<Value> values(kBatch);
  uint32_t cursor = 0;
  for (bool first = true;; first = false) {
    const size_t known = keys.size();
    keys.resize(known + kBatch);
    uint32_t count = kBatch;
    const int failed = bpf_map_lookup_batch(map, first ? nullptr : &cursor, &cursor,
                                            keys.data() + known, values.data(), &count, nullptr);
    // ENOENT: these were the last ones.
    if (failed != 0 && errno != ENOENT) return Status::Error("bpf_map_lookup_batch", errno);
    keys.resize(known + count);
    if (failed != 0) return keys;
  }
}

}  // namespace groundwire
