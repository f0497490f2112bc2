// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "io/event_loop.h"
#include "port/messages.gen.h"

namespace groundwire {

/// Batches of commands on their way to their execution, in order but for one thing: what takes
/// something back (a verdict, an identity) does not wait behind captures of pods, each of which takes
/// the kernel a while.
///
/// So there are two lanes, each a thread. A batch that captures or releases a pod goes through the slow
/// one. A batch that does neither goes through the quick one, past slow ones that wait or run, unless
/// one of these does something of the quick kind as well: what concerns the same identity or verdict is
/// never reordered. A slow batch begins when every quick batch from before it is done, so a pod that is
/// captured finds the identity that it was promised.
class CommandLanes {
 public:
  using Commands = std::vector<msg::Command>;
  /// Called on the lane's thread.
  using Execute = std::function<void(uint64_t batch, const Commands& commands)>;

  CommandLanes(EventLoop* slow, EventLoop* quick, Execute execute)
      : slow_(slow), quick_(quick), execute_(std::move(execute)) {}
  CommandLanes(const CommandLanes&) = delete;
  CommandLanes& operator=(const CommandLanes&) = delete;

  /// Always from one thread. What waits when a lane's loop stops is not executed.
  void Post(uint64_t batch, Commands commands);

 private:
  void PostQuick(uint64_t batch, Commands commands);
  void PostSlow(uint64_t batch, Commands commands, bool mixed);

  EventLoop* const slow_;
  EventLoop* const quick_;
  const Execute execute_;
  uint64_t quick_posted_ = 0;  // of the thread that posts
  std::mutex mutex_;
  std::condition_variable quick_done_changed_;
  uint64_t quick_done_ = 0;     // the rest: under mutex_
  uint64_t mixed_waiting_ = 0;  // slow batches that do something quick too
};

}  // namespace groundwire
