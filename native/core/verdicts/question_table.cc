// SPDX-License-Identifier: Apache-2.0
#include "verdicts/question_table.h"

#include <utility>

namespace groundwire {

uint64_t QuestionTable::Add(uint8_t worker, VerdictKey key) {
  const std::lock_guard lock(mutex_);
  const uint64_t question = ++sequence_ << 8 | worker;
  questions_.emplace(question, std::move(key));
  return question;
}

std::optional<VerdictKey> QuestionTable::Take(uint64_t question) {
  const std::lock_guard lock(mutex_);
  auto node = questions_.extract(question);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

}  // namespace groundwire
