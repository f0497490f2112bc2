// SPDX-License-Identifier: Apache-2.0
#include "port/fair_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace groundwire {

size_t FairQueue::Push(uint32_t pod, Message message) {
  const size_t cost = CostOf(message);
  auto found = pods_.find(pod);
  const size_t of_pod = found == pods_.end() ? 0 : found->second->bytes;
  const size_t pods = pods_.size() + (found == pods_.end() ? 1 : 0);
  // No search here: who floods pays for it itself.
  if (bytes_ + cost > bytes_max_ && (of_pod + cost) * pods > bytes_max_) return 1;
  size_t dropped = 0;
  while (bytes_ + cost > bytes_max_) {
    DropNewest(FindLargest());
    ++dropped;
  }
  found = pods_.find(pod);
  if (found == pods_.end()) {
    turns_.push_back({pod, {}, 0});
    found = pods_.emplace(pod, std::prev(turns_.end())).first;
  }
  OfPod& place = *found->second;
  place.messages.push_back(std::move(message));
  place.bytes += cost;
  bytes_ += cost;
  ++size_;
  return dropped;
}

FairQueue::Message FairQueue::Pop() {
  const Place first = turns_.begin();
  Message message = std::move(first->messages.front());
  first->messages.pop_front();
  turns_.splice(turns_.end(), turns_, first);
  Take(first, CostOf(message));
  return message;
}

void FairQueue::DropNewest(Place of_pod) {
  const size_t cost = CostOf(of_pod->messages.back());
  of_pod->messages.pop_back();
  Take(of_pod, cost);
}

void FairQueue::Take(Place of_pod, size_t cost) {
  of_pod->bytes -= cost;
  bytes_ -= cost;
  --size_;
  if (!of_pod->messages.empty()) return;
  pods_.erase(of_pod->pod);
  turns_.erase(of_pod);
}

FairQueue::Place FairQueue::FindLargest() {
  return std::max_element(turns_.begin(), turns_.end(),
                          [](const OfPod& a, const OfPod& b) { return a.bytes < b.bytes; });
}

}  // namespace groundwire
