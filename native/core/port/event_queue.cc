// SPDX-License-Identifier: Apache-2.0
#include "port/event_queue.h"

#include <algorithm>

namespace groundwire {

void EventQueue::PushReply(std::vector<uint8_t> packed) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    replies_.push_back(std::move(packed));
    wake = NeedsWake();
  }
  if (wake) sink_->Wake();
}

void EventQueue::PushQuestion(uint32_t pod, std::vector<uint8_t> packed) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    questions_dropped_ += questions_.Push(pod, std::move(packed));
    wake = NeedsWake();
  }
  if (wake) sink_->Wake();
}

void EventQueue::PushRecord(uint32_t pod, std::vector<uint8_t> packed) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    records_dropped_ += records_.Push(pod, std::move(packed));
    wake = NeedsWake();
  }
  if (wake) sink_->Wake();
}

size_t EventQueue::Drain(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped) {
  std::vector<std::vector<uint8_t>> taken;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    *dropped = records_dropped_ - std::exchange(records_dropped_told_, records_dropped_);
    for (; !replies_.empty() && taken.size() < max; replies_.pop_front())
      taken.push_back(std::move(replies_.front()));
    const size_t kept_for_records = std::min(records_.size(), (max - taken.size()) / 4);
    while (!questions_.empty() && taken.size() + kept_for_records < max)
      taken.push_back(questions_.Pop());
    while (!records_.empty() && taken.size() < max) taken.push_back(records_.Pop());
    more = !replies_.empty() || !questions_.empty() || !records_.empty();
    woken_ = more;
  }
  msg::BatchWriter batch(packed);
  for (const std::vector<uint8_t>& event : taken) batch.AddPacked(event);
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

size_t EventQueue::question_bytes() const {
  const std::lock_guard lock(mutex_);
  return questions_.bytes();
}

size_t EventQueue::record_bytes() const {
  const std::lock_guard lock(mutex_);
  return records_.bytes();
}

}  // namespace groundwire
