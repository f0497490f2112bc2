// SPDX-License-Identifier: Apache-2.0
#include "engine/command_lanes.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace groundwire {
namespace {

bool IsSlow(const msg::Command& command) {
  return std::holds_alternative<msg::CapturePod>(command) ||
         std::holds_alternative<msg::ReleasePod>(command);
}

}  // namespace

void CommandLanes::Post(uint64_t batch, Commands commands) {
  const auto slow = std::count_if(commands.begin(), commands.end(), IsSlow);
  const bool mixed = slow > 0 && slow < std::ssize(commands);
  bool behind = false;
  {
    const std::lock_guard lock(mutex_);
    behind = mixed_waiting_ > 0;
    // Once behind one, what follows is behind it too, until all of them are done.
    if (mixed || (behind && slow == 0)) ++mixed_waiting_;
  }
  if (slow == 0 && !behind) return PostQuick(batch, std::move(commands));
  PostSlow(batch, std::move(commands), mixed || slow == 0);
}

void CommandLanes::PostQuick(uint64_t batch, Commands commands) {
  ++quick_posted_;
  quick_->Post([this, batch, commands = std::move(commands)] {
    execute_(batch, commands);
    const std::lock_guard lock(mutex_);
    ++quick_done_;
    quick_done_changed_.notify_all();
  });
}

void CommandLanes::PostSlow(uint64_t batch, Commands commands, bool mixed) {
  slow_->Post([this, batch, mixed, before = quick_posted_, commands = std::move(commands)] {
    {
      std::unique_lock lock(mutex_);
      quick_done_changed_.wait(lock, [&] { return quick_done_ >= before; });
    }
    execute_(batch, commands);
    if (!mixed) return;
    const std::lock_guard lock(mutex_);
    --mixed_waiting_;
  });
}

}  // namespace groundwire
