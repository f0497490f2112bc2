// SPDX-License-Identifier: Apache-2.0
#include "port/event_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

namespace groundwire {
namespace {

bool IsRecord(const msg::Event& event) {
  return std::holds_alternative<msg::ConnectionClosed>(event);
}

bool IsQuestion(const msg::Event& event) {
  return std::holds_alternative<msg::OutboundQuestion>(event) ||
         std::holds_alternative<msg::InboundQuestion>(event) ||
         std::holds_alternative<msg::DnsQuery>(event);
}

void MoveFront(std::deque<msg::Event>* from, size_t max, std::vector<msg::Event>* to) {
  const auto end = from->begin() + static_cast<std::ptrdiff_t>(std::min(max, from->size()));
  std::move(from->begin(), end, std::back_inserter(*to));
  from->erase(from->begin(), end);
}

}  // namespace

void EventQueue::Push(msg::Event event) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const bool record = IsRecord(event);
    std::deque<msg::Event>& queue = record ? records_ : questions_;
    if (queue.size() >= max_ && (record || IsQuestion(event))) {
      ++(record ? records_dropped_ : questions_dropped_);
      return;
    }
    queue.push_back(std::move(event));
    wake = !std::exchange(woken_, true);
  }
  if (wake) sink_->Wake();
}

size_t EventQueue::Drain(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped) {
  std::vector<msg::Event> taken;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    *dropped = records_dropped_ - std::exchange(records_dropped_told_, records_dropped_);
    const size_t kept_for_records = std::min(records_.size(), max / 4);
    MoveFront(&questions_, max - kept_for_records, &taken);
    MoveFront(&records_, max - taken.size(), &taken);
    more = !questions_.empty() || !records_.empty();
    woken_ = more;
  }
  msg::BatchWriter batch(packed);
  for (const msg::Event& event : taken) {
    std::visit([&batch](const auto& message) { batch.Add(message); }, event);
  }
  if (more) sink_->Wake();
  return taken.size();
}

uint64_t EventQueue::questions_dropped() const {
  const std::lock_guard lock(mutex_);
  return questions_dropped_;
}

uint64_t EventQueue::records_dropped() const {
  const std::lock_guard lock(mutex_);
  return records_dropped_;
}

}  // namespace groundwire
