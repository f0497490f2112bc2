// SPDX-License-Identifier: Apache-2.0
#include "event_queue.h"

#include <algorithm>
#include <utility>

namespace groundwire {
namespace {

bool MustArrive(const msg::Event& event) {
  return std::holds_alternative<msg::BatchDone>(event) ||
         std::holds_alternative<msg::PodReleased>(event);
}

}  // namespace

void EventQueue::Push(msg::Event event) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (events_.size() >= max_ && !MustArrive(event)) {
      ++dropped_;
      ++dropped_total_;
      return;
    }
    events_.push_back(std::move(event));
    wake = !std::exchange(woken_, true);
  }
  if (wake) sink_->Wake();
}

size_t EventQueue::Drain(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped) {
  std::deque<msg::Event> taken;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    *dropped = std::exchange(dropped_, 0);
    if (events_.size() <= max) {
      taken.swap(events_);
    } else {
      const auto end = events_.begin() + static_cast<std::ptrdiff_t>(max);
      std::move(events_.begin(), end, std::back_inserter(taken));
      events_.erase(events_.begin(), end);
    }
    more = !events_.empty();
    woken_ = more;
  }
  msg::BatchWriter batch(packed);
  for (const msg::Event& event : taken) {
    std::visit([&batch](const auto& message) { batch.Add(message); }, event);
  }
  if (more) sink_->Wake();
  return taken.size();
}

uint64_t EventQueue::dropped_total() const {
  const std::lock_guard lock(mutex_);
  return dropped_total_;
}

}  // namespace groundwire
