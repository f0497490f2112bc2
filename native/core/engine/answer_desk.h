// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "engine/engine_shared.h"
#include "port/messages.gen.h"

namespace groundwire {

class Worker;

/// Answers on their way from TypeScript to the workers; called on its thread.
class AnswerDesk {
 public:
  AnswerDesk(EngineShared* shared, const std::vector<std::unique_ptr<Worker>>* workers)
      : shared_(shared), workers_(workers) {}
  void Take(std::vector<msg::Answer> answers);

 private:
  void TakeDns(msg::DnsAnswer answer);

  EngineShared* const shared_;
  const std::vector<std::unique_ptr<Worker>>* const workers_;
};

}  // namespace groundwire
