// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "verdicts/question_kinds.h"

namespace groundwire {

/// Questions on their way: what an answer, which names only its question, is the answer to. Shared,
/// because an answer goes to every worker's cache in the order in which TypeScript gave it: going
/// through the asking worker first, it could overtake its own invalidation in another worker.
template <typename Kind>
class QuestionTable {
 public:
  void Add(uint64_t question, typename Kind::Key key) {
    const std::lock_guard lock(mutex_);
    questions_.emplace(question, std::move(key));
  }
  std::optional<typename Kind::Key> Take(uint64_t question) {
    const std::lock_guard lock(mutex_);
    auto node = questions_.extract(question);
    if (node.empty()) return std::nullopt;
    return std::move(node.mapped());
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uint64_t, typename Kind::Key> questions_;
};

template <typename Kinds>
class QuestionTablesOf;
template <typename... Kinds>
class QuestionTablesOf<KindList<Kinds...>> : private QuestionTable<Kinds>... {
 public:
  template <typename Kind>
  QuestionTable<Kind>& of() {
    return *this;
  }
};

/// One table for each kind.
using QuestionTables = QuestionTablesOf<QuestionKinds>;

}  // namespace groundwire
