// SPDX-License-Identifier: Apache-2.0
// Where connections get their verdicts: from the cache, or by asking TypeScript and waiting, bounded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error_code.gen.h"
#include "base/ring.h"
#include "io/thread_context.h"
#include "verdicts/question_kinds.h"
#include "verdicts/question_table.h"
#include "verdicts/verdict_cache.h"
#include "verdicts/waiting_places.h"

namespace groundwire {

template <typename Kind>
class VerdictDesk;

/// Who lives by a verdict of this kind: a connection.
template <typename Kind>
class VerdictUser {
 public:
  /// What is to be asked, now and whenever the verdict was taken back; all but the id.
  virtual void Describe(typename Kind::Question* question) const = 0;
  virtual void OnVerdict(const Verdict<Kind>& verdict) = 0;
  /// Instead of the one it has, which was taken back or is over.
  virtual void OnLateVerdict(const Verdict<Kind>& verdict) = 0;
  /// VERDICT_QUEUE_FULL or VERDICT_TIMEOUT, instead of the first one: it fails closed.
  virtual void OnNoVerdict(ErrorCode code) = 0;

 protected:
  ~VerdictUser() = default;
};

/// The verdict of one user: asked for, then lived by. The desk finds it by the verdict, so that what
/// is taken back concerns those who live by it and nobody else.
template <typename Kind>
class VerdictHold : private RingPlace {
 public:
  VerdictHold(VerdictDesk<Kind>* desk, VerdictUser<Kind>* user) : desk_(desk), user_(user) {}
  ~VerdictHold() { Release(); }

  /// Once. The user is told, maybe from within.
  void Ask() { desk_->Serve(this); }
  /// From now on the user is told nothing.
  void Release() { desk_->Part(this); }
  /// The last one; none before the first.
  const Verdict<Kind>& verdict() const { return kept_.verdict; }

 private:
  friend VerdictDesk<Kind>;

  VerdictDesk<Kind>* const desk_;
  VerdictUser<Kind>* const user_;
  KeptVerdict<Kind> kept_;
  EventLoop::TimerId over_{};
};

/// The desk of one kind of a worker.
///
/// A new connection that waits counts against the bound of its pod, and connections alike share one
/// question. A live connection whose verdict was taken back is not counted. It goes on meanwhile, and
/// its question is told again every verdict timeout until it is answered or the connection ended:
/// nothing else would ever name the verdict it lost, so an answer that is late or a question that was
/// dropped must not be the end of it.
template <typename Kind>
class VerdictDesk {
 public:
  VerdictDesk(const ThreadContext& thread, QuestionTables* questions, WaitingPlaces* places)
      : thread_(thread),
        questions_(&questions->of<Kind>()),
        places_(places),
        cache_(kCacheEntriesMax) {}
  VerdictDesk(const VerdictDesk&) = delete;
  VerdictDesk& operator=(const VerdictDesk&) = delete;

  /// Every worker gets every answer. Whoever waits for it is told where it was asked; it is kept where
  /// `keep` says so.
  void TakeAnswer(uint64_t question, const typename Kind::Key& key, const Verdict<Kind>& verdict,
                  bool keep);
  void Invalidate(const std::vector<uint64_t>& verdicts);
  void ForgetPod(uint32_t pod) { cache_.ForgetPod(pod); }

 private:
  friend VerdictHold<Kind>;
  using Key = typename Kind::Key;
  using Question = typename Kind::Question;
  using Hold = VerdictHold<Kind>;

  // A worker; some 400 bytes each.
  static constexpr size_t kCacheEntriesMax = 32768;

  struct KeyHash {
    size_t operator()(const Key& key) const { return Kind::Hash(key); }
  };
  struct Waiting {
    Question asked;  // id 0: not yet
    RingPlace newcomers;
    RingPlace living;
    uint32_t places = 0;
    EventLoop::TimerId deadline{};
  };

  void Serve(Hold* hold);
  void Part(Hold* hold);
  /// A live one whose verdict does not hold any more.
  void ServeAgain(Hold* hold);
  void OnOver(Hold* hold);
  void Wait(const Key& key, Question question, RingPlace Waiting::*ring, Hold* hold);
  /// Tells the question, and waits for the answer.
  void Tell(const Key& key, Waiting* waiting);
  void OnDeadline(const Key& key);
  void FreePlaces(const Key& key, Waiting* waiting) {
    places_->Free(key.pod, std::exchange(waiting->places, 0));
  }
  void Give(const KeptVerdict<Kind>& kept, Hold* hold);
  static Hold* TakeNext(RingPlace* ring) {
    Hold* const hold = static_cast<Hold*>(ring->next());
    hold->Leave();
    return hold;
  }

  const ThreadContext thread_;
  QuestionTable<Kind>* const questions_;
  WaitingPlaces* const places_;
  VerdictCache<Kind> cache_;
  std::unordered_map<Key, Waiting, KeyHash> waiting_;
  /// Who lives by a verdict; none is empty.
  std::unordered_map<uint64_t, RingPlace> users_;
};

template <typename Kind>
void VerdictDesk<Kind>::Serve(Hold* hold) {
  Question question;
  hold->user_->Describe(&question);
  const Key key = Kind::KeyOf(question);
  if (const auto* kept = cache_.Find(key, thread_.loop->now_us())) {
    thread_.counters->Add(Counter::kVerdictHits);
    return Give(KeptVerdict<Kind>(*kept), hold);
  }
  thread_.counters->Add(Counter::kVerdictMisses);
  if (!places_->Take(key.pod)) {
    thread_.counters->Add(Counter::kVerdictQueueFull);
    return hold->user_->OnNoVerdict(ErrorCode::kVerdictQueueFull);
  }
  Wait(key, std::move(question), &Waiting::newcomers, hold);
}

template <typename Kind>
void VerdictDesk<Kind>::Part(Hold* hold) {
  thread_.loop->Cancel(&hold->over_);
  hold->Leave();
  if (!hold->kept_.verdict) return;
  const auto users = users_.find(hold->kept_.verdict->verdict);
  if (users != users_.end() && users->second.alone()) users_.erase(users);
}

template <typename Kind>
void VerdictDesk<Kind>::Give(const KeptVerdict<Kind>& kept, Hold* hold) {
  const bool first = hold->kept_.verdict == nullptr;
  hold->kept_ = kept;
  hold->Join(&users_[kept.verdict->verdict]);
  if (kept.until_us != 0) {
    const uint64_t now_us = thread_.loop->now_us();
    const uint64_t left_us = kept.HoldsAt(now_us) ? kept.until_us - now_us : 0;
    hold->over_ = thread_.loop->After(left_us / 1000 + 1, [this, hold] { OnOver(hold); });
  }
  if (first) return hold->user_->OnVerdict(kept.verdict);
  hold->user_->OnLateVerdict(kept.verdict);
}

template <typename Kind>
void VerdictDesk<Kind>::ServeAgain(Hold* hold) {
  Part(hold);
  thread_.counters->Add(Counter::kVerdictReasked);
  Question question;
  hold->user_->Describe(&question);
  const Key key = Kind::KeyOf(question);
  Wait(key, std::move(question), &Waiting::living, hold);
}

template <typename Kind>
void VerdictDesk<Kind>::OnOver(Hold* hold) {
  Question question;
  hold->user_->Describe(&question);
  // Of those who lived by it the first one asks; the others find what it was told.
  const auto* kept = cache_.Find(Kind::KeyOf(question), thread_.loop->now_us());
  if (kept == nullptr) return ServeAgain(hold);
  Part(hold);
  Give(KeptVerdict<Kind>(*kept), hold);
}

template <typename Kind>
void VerdictDesk<Kind>::Wait(const Key& key, Question question, RingPlace Waiting::*ring,
                             Hold* hold) {
  const auto entry = waiting_.try_emplace(key).first;
  Waiting& waiting = entry->second;
  hold->Join(&(waiting.*ring));
  if (ring == &Waiting::newcomers) ++waiting.places;
  if (waiting.asked.question != 0) return;
  waiting.asked = std::move(question);
  waiting.asked.question = thread_.ids->Next();
  questions_->Add(waiting.asked.question, key);
  Tell(entry->first, &waiting);
}

template <typename Kind>
void VerdictDesk<Kind>::Tell(const Key& key, Waiting* waiting) {
  // The key lives as long as what waits under it, whose end ends the timer.
  waiting->deadline = thread_.loop->After(thread_.options->verdict_timeout_ms,
                                          [this, in_map = &key] { OnDeadline(*in_map); });
  thread_.events->Push(waiting->asked);
}

template <typename Kind>
void VerdictDesk<Kind>::OnDeadline(const Key& key) {
  const auto found = waiting_.find(key);
  Waiting& waiting = found->second;
  thread_.counters->Add(Counter::kVerdictTimeouts);
  FreePlaces(key, &waiting);
  RingPlace refused;
  refused.TakeAll(&waiting.newcomers);
  if (waiting.living.alone()) {
    (void)questions_->Take(waiting.asked.question);
    waiting_.erase(found);
  } else {
    // The same question, so that an answer to its first telling still counts.
    thread_.counters->Add(Counter::kVerdictReaskRetried);
    Tell(found->first, &waiting);
  }
  while (!refused.alone()) TakeNext(&refused)->user_->OnNoVerdict(ErrorCode::kVerdictTimeout);
}

template <typename Kind>
void VerdictDesk<Kind>::TakeAnswer(uint64_t question, const Key& key, const Verdict<Kind>& verdict,
                                   bool keep) {
  const KeptVerdict<Kind> kept{
      verdict,
      verdict->kept_ms == 0 ? 0 : thread_.loop->now_us() + uint64_t{verdict->kept_ms} * 1000};
  if (keep) thread_.counters->Add(Counter::kVerdictEvicted, cache_.Put(key, kept));
  if (IdSequence::WorkerOf(question) != thread_.ids->worker()) return;
  const auto found = waiting_.find(key);
  if (found == waiting_.end() || found->second.asked.question != question) return;
  Waiting& waiting = found->second;
  thread_.loop->Cancel(&waiting.deadline);
  FreePlaces(key, &waiting);
  RingPlace served;
  served.TakeAll(&waiting.living);
  served.TakeAll(&waiting.newcomers);
  waiting_.erase(found);
  while (!served.alone()) Give(kept, TakeNext(&served));
}

template <typename Kind>
void VerdictDesk<Kind>::Invalidate(const std::vector<uint64_t>& verdicts) {
  for (const uint64_t verdict : verdicts) {
    if (cache_.Forget(verdict)) thread_.counters->Add(Counter::kVerdictInvalidated);
    const auto users = users_.find(verdict);
    if (users == users_.end()) continue;
    RingPlace lost;
    lost.TakeAll(&users->second);
    users_.erase(users);
    while (!lost.alone()) ServeAgain(TakeNext(&lost));
  }
}

}  // namespace groundwire
