// SPDX-License-Identifier: Apache-2.0
// One thread's loop: sockets (edge-triggered epoll), timers, work posted by other threads, work put
// off to the end of the turn.
#pragma once
#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "io/engine_thread.h"
#include "io/look_on.h"

namespace groundwire {

class EventLoop;

/// Told of a socket's edges, of one socket at a time. An event may arrive after the handler closed
/// its socket: check before use. Once it is destroyed, or watches another socket, no event of the
/// first one reaches it.
class EventHandler {
 public:
  EventHandler() = default;
  EventHandler(const EventHandler&) = delete;
  EventHandler& operator=(const EventHandler&) = delete;
  virtual void OnEvents(uint32_t events) = 0;

 protected:
  ~EventHandler();

 private:
  friend class EventLoop;
  EventLoop* loop_ = nullptr;
  uint32_t slot_ = 0;
};

/// Anything that must outlive the turn in which it was ended, because an event of that turn may
/// still point at it.
class Discardable {
 public:
  virtual ~Discardable() = default;
};

/// A turn: wait, deliver events, run posted work, run due timers, run work put off, delete what the
/// turn before discarded. All methods but Post and Stop belong to the loop's thread.
class EventLoop {
 public:
  using Task = std::function<void()>;
  /// Identifies a timer; {0, 0} is none.
  using TimerId = std::pair<uint64_t, uint64_t>;

  explicit EventLoop(Counters* counters) : counters_(counters) {}
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  Status Open();
  /// Turns until Stop.
  void Run();
  /// One turn, waiting no longer than that.
  void RunTurn(int wait_max_ms);
  /// Any thread. Run returns after the turn in which this is seen.
  void Stop();
  /// Any thread. Tasks run in order of posting.
  void Post(Task task);

  /// Registers a socket once for all of its life: edge-triggered, readable, urgent, writable,
  /// hang-up.
  Status Watch(int fd, EventHandler* handler);
  /// Registers a listener shared by several loops: level-triggered, one loop woken a connection.
  Status WatchListener(int fd, EventHandler* handler);
  void Unwatch(int fd);

  TimerId After(uint64_t delay_ms, Task task);
  /// Sets `*timer` to none. Harmless when it ran already.
  void Cancel(TimerId* timer);
  /// Runs at the end of this turn; put off again from there, it runs in the next turn, which then
  /// does not sleep.
  void Defer(Task task) { deferred_.push_back(std::move(task)); }
  /// Deletes at the end of the next turn: by then no event, and no work put off before this call,
  /// can point at it.
  void Discard(std::unique_ptr<Discardable> object) { discarded_.push_back(std::move(object)); }
  uint64_t now_us() const { return now_us_; }
  LookOn& look_on() { return look_on_; }
  Counters* counters() { return counters_; }

 private:
  friend class EventHandler;

  /// What epoll's word names: a handler by place and generation, never by address. Closing a
  /// descriptor does not end its registration while a child between fork and exec still holds a
  /// copy of it, so an event may outlive its handler.
  struct Slot {
    EventHandler* handler = nullptr;
    uint32_t generation = 0;
  };

  int Wait(epoll_event* events, int wait_max_ms);
  int WaitMs(int wait_max_ms) const;
  void ShareProcessor(Slices slices);
  Status Register(int fd, uint32_t events, EventHandler* handler);
  void Forget(EventHandler* handler);
  void Deliver(uint64_t word, uint32_t events);
  void RunPosted();
  void RunTimers();
  void RunDeferred();

  Counters* const counters_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::vector<Slot> slots_{1};  // the first one is the wake-up descriptor's
  std::vector<uint32_t> free_slots_;
  std::atomic<bool> stopping_{false};
  std::mutex posted_mutex_;
  std::vector<Task> posted_;
  bool wake_pending_ = false;  // under posted_mutex_
  std::map<TimerId, Task> timers_;
  uint64_t timer_sequence_ = 0;
  std::vector<Task> deferred_;
  std::vector<std::unique_ptr<Discardable>> discarded_;  // in this turn
  std::vector<std::unique_ptr<Discardable>> dying_;      // in the turn before
  LookOn look_on_;
  Slices slices_ = Slices::kUsual;  // short ones while others have work for the processor
  uint64_t now_us_ = 0;
};

}  // namespace groundwire
