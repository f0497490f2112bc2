// SPDX-License-Identifier: Apache-2.0
#include "verdicts/verdict_desk.h"

#include <utility>
#include <variant>

namespace groundwire {
namespace {

// Of each direction, a worker; some 300 bytes each.
constexpr size_t kCacheEntriesMax = 32768;

uint32_t PodOf(const VerdictKey& key) {
  return std::visit([](const auto& fields) { return fields.pod; }, key);
}

}  // namespace

VerdictDesk::VerdictDesk(uint8_t worker, const ThreadContext& thread, QuestionTable* questions,
                         VerdictReceiver* receiver)
    : worker_(worker),
      thread_(thread),
      questions_(questions),
      receiver_(receiver),
      cache_(kCacheEntriesMax) {}

ErrorCode VerdictDesk::AskOnce(const VerdictKey& key, uint64_t connection, bool live,
                               const std::function<msg::Event(uint64_t)>& question) {
  uint32_t& of_pod = waiting_of_pod_[PodOf(key)];
  if (!live && of_pod >= thread_.options->verdict_queue_max) {
    thread_.counters->Add(Counter::kVerdictQueueFull);
    return ErrorCode::kVerdictQueueFull;
  }
  Waiting& waiting = waiting_[key];
  if (live) {
    waiting.live_connections.insert(connection);
  } else {
    waiting.new_connections.push_back(connection);
    ++of_pod;
  }
  if (waiting.question != 0) return ErrorCode::kNone;
  waiting.question = questions_->Add(worker_, key);
  waiting.asked = question(waiting.question);
  Tell(key, &waiting);
  return ErrorCode::kNone;
}

void VerdictDesk::Tell(const VerdictKey& key, Waiting* waiting) {
  waiting->deadline =
      thread_.loop->After(thread_.options->verdict_timeout_ms, [this, key] { OnDeadline(key); });
  thread_.events->Push(waiting->asked);
}

VerdictDesk::Waiting VerdictDesk::Remove(const VerdictKey& key) {
  auto node = waiting_.extract(key);
  if (node.empty()) return {};
  Waiting waiting = std::move(node.mapped());
  thread_.loop->Cancel(&waiting.deadline);
  const auto of_pod = waiting_of_pod_.find(PodOf(key));
  if (of_pod == waiting_of_pod_.end()) return waiting;
  of_pod->second -= static_cast<uint32_t>(waiting.new_connections.size());
  if (of_pod->second == 0) waiting_of_pod_.erase(of_pod);
  return waiting;
}

void VerdictDesk::OnDeadline(const VerdictKey& key) {
  Waiting waiting = Remove(key);
  thread_.counters->Add(Counter::kVerdictTimeouts);
  const std::vector<uint64_t> refused = std::move(waiting.new_connections);
  waiting.new_connections.clear();
  std::erase_if(waiting.live_connections,
                [this](uint64_t connection) { return !receiver_->Lives(connection); });
  if (waiting.live_connections.empty()) {
    (void)questions_->Take(waiting.question);
  } else {
    // The same question, so that an answer to its first telling still counts.
    thread_.counters->Add(Counter::kVerdictReaskRetried);
    Tell(key, &waiting_.emplace(key, std::move(waiting)).first->second);
  }
  for (const uint64_t connection : refused)
    receiver_->OnNoVerdict(connection, ErrorCode::kVerdictTimeout);
}

template <typename Key, typename Verdict>
void VerdictDesk::Take(uint64_t question, const Key& key, const Verdict& verdict) {
  // Of a pod that is gone nobody would ever forget it, and it would take from the others' share.
  if (receiver_->Knows(key.pod))
    thread_.counters->Add(Counter::kVerdictEvicted, cache_.Put(key, verdict));
  if (QuestionTable::WorkerOf(question) != worker_) return;
  const auto found = waiting_.find(key);
  if (found == waiting_.end() || found->second.question != question) return;
  const Waiting waiting = Remove(key);
  for (const uint64_t connection : waiting.live_connections)
    receiver_->OnVerdict(connection, verdict);
  for (const uint64_t connection : waiting.new_connections)
    receiver_->OnVerdict(connection, verdict);
}

void VerdictDesk::TakeAnswer(uint64_t question, const OutboundKey& key,
                             const OutboundVerdict& verdict) {
  Take(question, key, verdict);
}

void VerdictDesk::TakeAnswer(uint64_t question, const InboundKey& key,
                             const InboundVerdict& verdict) {
  Take(question, key, verdict);
}

void VerdictDesk::Invalidate(const std::unordered_set<uint64_t>& verdicts) {
  thread_.counters->Add(Counter::kVerdictInvalidated, cache_.Invalidate(verdicts));
}

}  // namespace groundwire
