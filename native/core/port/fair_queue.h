// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>
#include <vector>

namespace groundwire {

/// Packed messages of many pods: those of one pod in order, the pods by turns. What a pod has waiting
/// here delays its own messages and nobody else's.
///
/// Bounded in bytes. When full, a pod that has more than its share loses the newest of its own; one
/// within its share displaces the newest of the pod that has most.
class FairQueue {
 public:
  using Message = std::vector<uint8_t>;

  explicit FairQueue(size_t bytes_max) : bytes_max_(bytes_max) {}
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;

  /// Returns the number of messages that found no room: this one, or as many as it displaced.
  size_t Push(uint32_t pod, Message message);
  /// The next pod's oldest. Not of an empty one.
  Message Pop();
  bool empty() const { return turns_.empty(); }
  size_t size() const { return size_; }
  size_t bytes() const { return bytes_; }
  size_t bytes_max() const { return bytes_max_; }
  /// What a message counts for: itself, and what keeping it costs.
  static size_t CostOf(const Message& message) { return message.size() + kKeepingBytes; }

 private:
  static constexpr size_t kKeepingBytes = 64;

  struct OfPod {
    uint32_t pod = 0;
    std::deque<Message> messages;  // never empty
    size_t bytes = 0;
  };
  using Place = std::list<OfPod>::iterator;

  void DropNewest(Place of_pod);
  Place FindLargest();
  void Take(Place of_pod, size_t cost);

  const size_t bytes_max_;
  size_t bytes_ = 0;
  size_t size_ = 0;
  std::list<OfPod> turns_;  // whose turn it is is first
  std::unordered_map<uint32_t, Place> pods_;
};

}  // namespace groundwire
