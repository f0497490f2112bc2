// SPDX-License-Identifier: Apache-2.0
#include "engine/answer_desk.h"

#include <cstdint>
#include <utility>
#include <variant>

#include "engine/worker.h"

namespace groundwire {

void AnswerDesk::Take(std::vector<msg::Answer> answers) {
  using Verdict = std::variant<OutboundVerdict, InboundVerdict>;
  struct Resolved {
    uint64_t question;
    VerdictKey key;
    Verdict verdict;
  };
  auto resolved = std::make_shared<std::vector<Resolved>>();
  uint64_t stale = 0;
  const auto resolve = [&](uint64_t question, Verdict verdict) {
    auto key = shared_->questions.Take(question);
    // A question that timed out, or an answer of the other kind: TypeScript's verdict is kept
    // nowhere then.
    if (!key || key->index() != verdict.index()) {
      ++stale;
      return;
    }
    resolved->push_back({question, std::move(*key), std::move(verdict)});
  };
  for (msg::Answer& answer : answers) {
    if (auto* outbound = std::get_if<msg::OutboundAnswer>(&answer)) {
      const uint64_t question = outbound->question;
      resolve(question, std::make_shared<const msg::OutboundAnswer>(std::move(*outbound)));
    } else if (auto* inbound = std::get_if<msg::InboundAnswer>(&answer)) {
      const uint64_t question = inbound->question;
      resolve(question, std::make_shared<const msg::InboundAnswer>(std::move(*inbound)));
    } else if (auto* dns = std::get_if<msg::DnsAnswer>(&answer)) {
      const size_t index = QuestionTable::WorkerOf(dns->query);
      if (index >= workers_->size()) continue;
      Worker* worker = (*workers_)[index].get();
      worker->Post([worker, taken = std::move(*dns)] { worker->dns().TakeAnswer(taken); });
    }
  }
  for (size_t i = 0; i < workers_->size(); ++i) {
    Worker* worker = (*workers_)[i].get();
    worker->Post([worker, resolved, stale = i == 0 ? stale : 0] {
      worker->counters().Add(Counter::kVerdictStaleAnswers, stale);
      for (const Resolved& one : *resolved) {
        if (const auto* outbound = std::get_if<OutboundVerdict>(&one.verdict)) {
          worker->verdicts().TakeAnswer(one.question, std::get<OutboundKey>(one.key), *outbound);
        } else {
          worker->verdicts().TakeAnswer(one.question, std::get<InboundKey>(one.key),
                                        std::get<InboundVerdict>(one.verdict));
        }
      }
    });
  }
}

}  // namespace groundwire
