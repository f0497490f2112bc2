// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "verdicts/verdict_desk.h"

namespace groundwire {

template <typename Kinds>
class VerdictDesksOf;
template <typename... Kinds>
class VerdictDesksOf<KindList<Kinds...>> : private VerdictDesk<Kinds>... {
 public:
  VerdictDesksOf(const ThreadContext& thread, QuestionTables* questions)
      : VerdictDesk<Kinds>(thread, questions, &places_)...,
        places_(thread.options->verdict_queue_max) {}

  template <typename Kind>
  VerdictDesk<Kind>& of() {
    return *this;
  }
  void Invalidate(const std::vector<uint64_t>& verdicts) {
    (of<Kinds>().Invalidate(verdicts), ...);
  }
  void ForgetPod(uint32_t pod) { (of<Kinds>().ForgetPod(pod), ...); }

 private:
  WaitingPlaces places_;
};

/// A worker's desks, one for each kind.
using VerdictDesks = VerdictDesksOf<QuestionKinds>;

}  // namespace groundwire
