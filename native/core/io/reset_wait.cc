// SPDX-License-Identifier: Apache-2.0
#include "io/reset_wait.h"

#include <algorithm>
#include <utility>

namespace groundwire {

void ResetWait::LookAgain(EventLoop::Task look) {
  if (timer_ != EventLoop::TimerId{} || over()) return;
  const uint64_t pause_ms = std::min(std::max<uint64_t>(waited_ms_, 1), kMaxMs - waited_ms_);
  timer_ = loop_->After(pause_ms, [this, pause_ms, look = std::move(look)] {
    timer_ = {};
    waited_ms_ += pause_ms;
    look();
  });
}

}  // namespace groundwire
