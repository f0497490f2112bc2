// SPDX-License-Identifier: Apache-2.0
// Where connections get their verdicts: from the cache, or by asking TypeScript and waiting,
// bounded.
#pragma once
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "io/thread_context.h"
#include "verdicts/question_table.h"
#include "verdicts/verdict_cache.h"

namespace groundwire {

/// A connection that asked; told by its id, because it may be gone when the answer comes.
class VerdictReceiver {
 public:
  virtual void OnVerdict(uint64_t connection, const OutboundVerdict& verdict) = 0;
  virtual void OnVerdict(uint64_t connection, const InboundVerdict& verdict) = 0;
  /// VERDICT_TIMEOUT, of a new connection.
  virtual void OnNoVerdict(uint64_t connection, ErrorCode code) = 0;
  virtual bool Lives(uint64_t connection) const = 0;
  /// The pod is captured here, or being released.
  virtual bool Knows(uint32_t pod) const = 0;

 protected:
  ~VerdictReceiver() = default;
};

/// One a worker.
class VerdictDesk {
 public:
  VerdictDesk(uint8_t worker, const ThreadContext& thread, QuestionTable* questions,
              VerdictReceiver* receiver);

  template <typename Key>
  auto Find(const Key& key) {
    auto verdict = cache_.Find(key);
    thread_.counters->Add(verdict ? Counter::kVerdictHits : Counter::kVerdictMisses);
    return verdict;
  }
  /// A new connection waits. Connections alike share one question. VERDICT_QUEUE_FULL when the
  /// pod's bound is reached. `question` makes the event for an id; it is called only when nobody
  /// asked the same before.
  template <typename Question>
  ErrorCode Ask(const VerdictKey& key, uint64_t connection, Question question) {
    return AskOnce(key, connection, false, [&](uint64_t id) -> msg::Event { return question(id); });
  }
  /// A live connection whose verdict was invalidated: not counted against the bound. It goes on
  /// meanwhile, and the question is told again every verdict timeout until it is answered or the
  /// connection ended: nothing else would ever name the verdict it lost, so an answer that is late
  /// or a question that was dropped must not be the end of it.
  template <typename Question>
  void Recheck(const VerdictKey& key, uint64_t connection, Question question) {
    thread_.counters->Add(Counter::kVerdictReasked);
    (void)AskOnce(key, connection, true, [&](uint64_t id) -> msg::Event { return question(id); });
  }

  /// Every worker gets every answer; `question` is resumed where it was asked.
  void TakeAnswer(uint64_t question, const OutboundKey& key, const OutboundVerdict& verdict);
  void TakeAnswer(uint64_t question, const InboundKey& key, const InboundVerdict& verdict);
  void Invalidate(const std::unordered_set<uint64_t>& verdicts);
  void ForgetPod(uint32_t pod) { cache_.ForgetPod(pod); }

 private:
  struct KeyHash {
    size_t operator()(const VerdictKey& key) const { return std::visit(VerdictKeyHash{}, key); }
  };
  struct Waiting {
    uint64_t question = 0;
    msg::Event asked;
    std::vector<uint64_t> new_connections;
    std::unordered_set<uint64_t> live_connections;
    EventLoop::TimerId deadline{};
  };

  ErrorCode AskOnce(const VerdictKey& key, uint64_t connection, bool live,
                    const std::function<msg::Event(uint64_t)>& question);
  /// Tells the question, and waits for the answer.
  void Tell(const VerdictKey& key, Waiting* waiting);
  template <typename Key, typename Verdict>
  void Take(uint64_t question, const Key& key, const Verdict& verdict);
  Waiting Remove(const VerdictKey& key);
  void OnDeadline(const VerdictKey& key);

  const uint8_t worker_;
  const ThreadContext thread_;
  QuestionTable* const questions_;
  VerdictReceiver* const receiver_;
  VerdictCache cache_;
  std::unordered_map<VerdictKey, Waiting, KeyHash> waiting_;
  std::unordered_map<uint32_t, uint32_t> waiting_of_pod_;
};

}  // namespace groundwire
