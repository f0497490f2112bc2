// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <unordered_map>

namespace groundwire {

/// How many new connections of each pod wait on a worker, whatever they ask: bounded by pod. One that
/// gives up frees its place when its question is answered or times out, not before, so that a pod that
/// opens and closes does not have more questions under way than one that waits.
class WaitingPlaces {
 public:
  explicit WaitingPlaces(uint32_t of_pod_max) : of_pod_max_(of_pod_max) {}

  bool Take(uint32_t pod) {
    uint32_t& taken = taken_[pod];
    if (taken >= of_pod_max_) return false;
    ++taken;
    return true;
  }
  void Free(uint32_t pod, uint32_t places) {
    if (places == 0) return;
    const auto found = taken_.find(pod);
    found->second -= places;
    if (found->second == 0) taken_.erase(found);
  }

 private:
  const uint32_t of_pod_max_;
  std::unordered_map<uint32_t, uint32_t> taken_;
};

}  // namespace groundwire
