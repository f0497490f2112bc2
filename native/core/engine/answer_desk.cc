// SPDX-License-Identifier: Apache-2.0
#include "engine/answer_desk.h"

#include <cstdint>
#include <utility>
#include <variant>

#include "engine/worker.h"
#include "verdicts/question_kinds.h"

namespace groundwire {
namespace {

/// What an answer is the answer to.
template <typename Kind>
struct Resolved {
  uint64_t question;
  typename Kind::Key key;
  Verdict<Kind> verdict;

  void GiveTo(Worker* worker) const { worker->TakeAnswer<Kind>(question, key, verdict); }
};

template <typename Kinds>
class ResolverOf;
template <typename... Kinds>
class ResolverOf<KindList<Kinds...>> {
 public:
  using Any = std::variant<Resolved<Kinds>...>;

  explicit ResolverOf(QuestionTables* questions) : questions_(questions) {}

  void Resolve(msg::Answer* answer) { (ResolveIf<Kinds>(answer), ...); }
  /// Of questions that timed out: TypeScript's verdict is kept nowhere then.
  uint64_t stale() const { return stale_; }
  std::vector<Any> Take() { return std::move(resolved_); }

 private:
  template <typename Kind>
  void ResolveIf(msg::Answer* answer) {
    auto* const given = std::get_if<typename Kind::Answer>(answer);
    if (given == nullptr) return;
    const uint64_t question = given->question;
    auto key = questions_->of<Kind>().Take(question);
    if (!key) {
      ++stale_;
      return;
    }
    resolved_.push_back(
        Resolved<Kind>{question, std::move(*key),
                       std::make_shared<const typename Kind::Answer>(std::move(*given))});
  }

  QuestionTables* const questions_;
  std::vector<Any> resolved_;
  uint64_t stale_ = 0;
};

using Resolver = ResolverOf<QuestionKinds>;

}  // namespace

void AnswerDesk::Take(std::vector<msg::Answer> answers) {
  Resolver resolver(&shared_->questions);
  for (msg::Answer& answer : answers) {
    if (auto* dns = std::get_if<msg::DnsAnswer>(&answer)) {
      TakeDns(std::move(*dns));
    } else {
      resolver.Resolve(&answer);
    }
  }
  const auto resolved = std::make_shared<const std::vector<Resolver::Any>>(resolver.Take());
  for (size_t i = 0; i < workers_->size(); ++i) {
    Worker* worker = (*workers_)[i].get();
    worker->Post([worker, resolved, stale = i == 0 ? resolver.stale() : 0] {
      worker->counters().Add(Counter::kVerdictStaleAnswers, stale);
      for (const Resolver::Any& one : *resolved) {
        std::visit([worker](const auto& kind) { kind.GiveTo(worker); }, one);
      }
    });
  }
}

void AnswerDesk::TakeDns(msg::DnsAnswer answer) {
  const size_t index = IdSequence::WorkerOf(answer.query);
  if (index >= workers_->size()) return;
  Worker* worker = (*workers_)[index].get();
  worker->Post([worker, taken = std::move(answer)] { worker->dns().TakeAnswer(taken); });
}

}  // namespace groundwire
